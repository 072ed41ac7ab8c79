"""What a flush sends, in which trains, and to whom at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.sfu.group import Group, Profile
from relay.sfu.layer import Layer
from relay.sfu.negotiated import SlotCodec, SlotSpec
from relay.sfu.outbox import Outbox
from relay.sfu.packet import Outgoing, Received
from relay.sfu.sink import Run
from relay.sfu.viewer import Viewer
from tests.relay.test_sfu_parts import Log, layer, packet


class Sent:
    """Notes what is sent: each call's runs, as (sizes, names of viewers)."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[list[int], list[str]]]] = []
        self.names: dict[int, str] = {}

    def fan_out(self, runs: Sequence[Run[Any]], now: float) -> None:
        self.calls.append(
            [
                ([len(out.data) for out in run], [self.names[id(leg.wire)] for leg in legs])
                for run, legs in runs
            ]
        )

    def send_rtp(
        self,
        wire: Log,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        raise AssertionError

    def send_rtcp(self, wire: Log, packet: bytes) -> None:
        raise AssertionError


def group_of(one: Layer) -> Group:
    return one.group(7, Profile(96, 1))


def join(sent: Sent, group: Group, name: str, burst: float) -> Viewer[Log]:
    """A viewer whose link takes so many bytes at once, in the group."""
    slot = SlotSpec("camera", "0", "video", 1, 2, (SlotCodec(96, group.layer.track.codecs[96]),))
    viewer = Viewer(name, [slot], Log(), sent, 1_000.0, 1e6, lambda pace: None)
    sent.names[id(viewer.wire)] = name
    leg = viewer.legs["camera"]
    assert leg.pace is not None
    leg.pace.burst = burst
    group.legs.add(leg)
    return viewer


def frame(group: Group, first: int, *sizes: int) -> list[Outgoing]:
    made = []
    for index, size in enumerate(sizes):
        out = group.forward(packet(first + index, 1_000 * first, size=size + 12))
        assert out is not None
        made.append(out)
    return made


def flushed(sent: Sent, group: Group, outs: list[Outgoing]) -> list[list[tuple[list[int], Any]]]:
    box: Outbox[Log] = Outbox(sent)
    for out in outs:
        box.add(group, out, group.legs, 1_000.0)
    sent.calls.clear()
    box.flush(1_000.0)
    return sent.calls


def test_packets_of_a_size_are_one_run_that_a_smaller_one_ends() -> None:
    sent, group = Sent(), group_of(layer("q"))
    join(sent, group, "room", float("inf"))
    outs = frame(group, 10, 900, 900, 400, 400, 800)
    sizes = [[size for size, _ in call] for call in flushed(sent, group, outs)]
    head = len(outs[0].data) - 900
    assert sizes == [[[900 + head, 900 + head, 400 + head], [400 + head], [800 + head]]]


def test_everything_of_a_flush_leaves_in_one_call() -> None:
    sent = Sent()
    pictures, voices = group_of(layer("q")), layer("", kind="audio").group(7, Profile(111, 2))
    join(sent, pictures, "room", float("inf"))
    slot = SlotSpec("voice", "1", "audio", 2, 3, (SlotCodec(111, voices.layer.track.codecs[111]),))
    viewer = Viewer("voice", [slot], Log(), sent, 1_000.0, 1e6, lambda pace: None)
    sent.names[id(viewer.wire)] = "voice"
    voices.legs.add(viewer.legs["voice"])
    [picture] = frame(pictures, 10, 900)
    heard = Received(7, bytes(72), 111, True, 960, 12, 72, 0, packet(7, 960).info, 0.0)
    voice = voices.forward(heard)
    assert voice is not None
    box: Outbox[Log] = Outbox(sent)
    box.add(voices, voice, voices.legs, 1_000.0)
    box.add(pictures, picture, pictures.legs, 1_000.0)
    box.flush(1_000.0)
    [call] = sent.calls
    assert [names for _, names in call] == [["voice"], ["room"]]


def test_who_cannot_take_the_rest_of_a_frame_at_once_gets_what_went_before() -> None:
    sent, group = Sent(), group_of(layer("q"))
    poor = join(sent, group, "poor", 1_300.0)
    join(sent, group, "good", float("inf"))
    first, second = frame(group, 10, 700, 900)
    calls = flushed(sent, group, [first, second])
    assert [names for call in calls for _, names in call] == [["poor", "good"], ["good"]]
    assert poor.pace.is_busy
    # And who waits gets the next ones after what waits.
    calls = flushed(sent, group, frame(group, 12, 300))
    assert [names for call in calls for _, names in call] == [["good"]]
