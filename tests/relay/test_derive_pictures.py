"""The ladder of a source with one encoding: decoded once, small pictures in two temporal layers.

Real codecs both ways. Not here: the process around it (tests/live/test_derived), its pace
(test_derive_pace).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import av
import numpy as np
import pytest
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from relay.derive.pace import HOPELESS, LATE, Pace
from relay.derive.pictures import STARVE_SECONDS, Ladder
from relay.media import rtp, vp8
from relay.media.seqno import Unwrapper
from relay.record.feed import Packet
from relay.sfu.derived import MEDIUM, RIDS, SMALL
from tests.fakes.rtp_media import EPOCH, Sender, encode_video, picture, track

RATE = 30
WIDTH, HEIGHT = 560, 432
SMALL_RID, MEDIUM_RID = RIDS.index(SMALL), RIDS.index(MEDIUM)


class Stream:
    """What came of one derived encoding, as a receiver that may leave out temporal layer 1."""

    def __init__(self, packets: list[bytes]) -> None:
        self.frames: list[tuple[int, int, bool, bytes]] = []
        """(timestamp, temporal layer, keyframe, data)"""
        self.bytes = sum(map(len, packets))
        data, pictures, numbers = b"", Unwrapper(15), Unwrapper(16)
        before: int | None = None
        for packet in packets:
            header = rtp.parse(packet)
            start, end = header.payload_offset, header.payload_end
            info = vp8.parse(packet, start, end, header.marker)
            number = numbers.unwrap(header.sequence_number)
            assert before is None or number == before + 1
            before = number
            if info.start_of_frame:
                assert not data, "a frame without its end"
                first = info
            data += packet[start + vp8.frame_offset(packet, start, end) - start : end]
            if header.marker:
                assert first.picture_id is not None
                assert pictures.unwrap(first.picture_id) == (1 << 15) + len(self.frames)
                assert first.tl0picidx == sum(one[1] == 0 for one in self.frames) - (
                    first.temporal_id == 1
                )
                assert first.layer_sync == first.discardable == (first.temporal_id == 1)
                self.frames.append((header.timestamp, first.temporal_id, first.keyframe, data))
                data = b""

    def decode(self, *, highest: int = 1) -> list[tuple[int, np.ndarray]]:
        """(timestamp, luma) of each picture that layers up to `highest` give."""
        decoder = CodecContext.create("vp8", "r")
        assert isinstance(decoder, VideoCodecContext)
        out = []
        for timestamp, temporal, _, data in self.frames:
            if temporal <= highest:
                (frame,) = decoder.decode(av.Packet(data))
                out.append((timestamp, frame.to_ndarray()[: frame.height].astype(float)))
        return out


def source(
    codec: str, frames: int, key_every: int = 30, *, name: str = "camera", rate: int = RATE
) -> tuple[Sender, Iterator[list[Packet]]]:
    """A publisher, and the packets of each frame; `rate` of them a second."""
    sender = Sender(track(7, name, codec))
    encoded = encode_video(codec, frames, key_every, WIDTH, HEIGHT, RATE)
    return sender, (sender.frame(one, number / rate) for number, one in enumerate(encoded))


def run(
    ladder: Ladder, frames: Iterator[list[Packet]], *, late: float = 0.0
) -> dict[int, list[bytes]]:
    out: dict[int, list[bytes]] = {}
    for packets in frames:
        for packet in packets:
            now = packet.arrival - EPOCH
            for rid, data in ladder.packet(packet.packet, packet.arrival, lambda _: late, now):
                out.setdefault(rid, []).append(data)
    return out


def likeness(stream: Stream, sender: Sender, *, highest: int = 1) -> float:
    """dB between what was shown and what the camera saw at the same time, over all pictures."""
    errors = []
    for timestamp, luma in stream.decode(highest=highest):
        number = round(((timestamp - sender.offset) & 0xFFFFFFFF) / 90_000 * RATE)
        lines, columns = luma.shape
        seen = picture(number, WIDTH, HEIGHT).reformat(columns, lines, "yuv420p")
        errors.append(np.mean((luma - seen.to_ndarray()[:lines].astype(float)) ** 2))
    return float(10 * np.log10(255**2 / np.mean(errors)))


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "av1"])
def test_every_codec_becomes_a_small_and_a_medium_picture(codec: str) -> None:
    sender, frames = source(codec, 45)
    ladder = Ladder(sender.track, 7, Pace())
    assert not list(ladder.go())
    made = {rid: Stream(packets) for rid, packets in run(ladder, frames).items()}
    assert set(made) == {SMALL_RID, MEDIUM_RID}
    for rid, lines in ((SMALL_RID, 180), (MEDIUM_RID, 360)):
        stream = made[rid]
        shown = stream.decode()
        assert {luma.shape[0] for _, luma in shown} == {lines}
        # 30 a second come in, at most 15 go out; the first one is a keyframe, and the last in time.
        assert 18 <= len(shown) <= 23
        assert [key for _, _, key, _ in stream.frames].index(True) == 0
        newest = ((stream.frames[-1][0] - sender.offset) & 0xFFFFFFFF) / 90_000
        assert newest > 40 / RATE
        assert likeness(stream, sender) > 20
        # Half of the frames make a picture of their own.
        assert [temporal for _, temporal, _, _ in stream.frames[:4]] == [0, 1, 0, 1]
        assert likeness(stream, sender, highest=0) > 20
    assert made[SMALL_RID].bytes < made[MEDIUM_RID].bytes


def test_keyframes_come_when_they_are_asked_for_and_on_the_beat() -> None:
    sender, frames = source("vp8", 110, key_every=110, rate=10)
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    out: list[bytes] = []
    for number, packets in enumerate(frames):
        if number == 20:
            ladder.request_keyframe(SMALL_RID)
        out += run(ladder, iter([packets])).get(SMALL_RID, [])
    stream = Stream(out)
    times = [
        ((timestamp - sender.offset) & 0xFFFFFFFF) / 90_000
        for timestamp, _, key, _ in stream.frames
        if key
    ]
    first, asked, beat = times
    assert first < 0.3
    assert 2.0 <= asked < 2.3
    assert asked + 8.0 <= beat < asked + 8.3


def test_what_was_kept_of_the_source_gives_one_picture_and_then_it_is_live() -> None:
    sender, frames = source("h264", 45, key_every=45)
    ladder = Ladder(sender.track, 7, Pace())
    kept = [next(frames) for _ in range(30)]
    # However long ago that was: it is decoded, not shown and not thrown away.
    assert run(ladder, iter(kept), late=9.0) == {}
    at_once = list(ladder.go())
    assert {rid for rid, _ in at_once} == {SMALL_RID, MEDIUM_RID}
    live = run(ladder, frames)
    stream = Stream([data for rid, data in at_once if rid == SMALL_RID] + live[SMALL_RID])
    assert stream.frames[0][2]
    assert likeness(stream, sender) > 20


def test_a_loss_ends_at_the_next_keyframe_and_the_source_is_asked_when_none_comes() -> None:
    sender, frames = source("vp8", 90, key_every=60)
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    every = list(frames)
    before = run(ladder, iter(every[:20]))
    assert before[SMALL_RID]
    assert run(ladder, iter(every[25:60])) == {}
    now = 2.0
    assert not ladder.is_starving(now)
    assert not ladder.is_starving(now + STARVE_SECONDS - 0.1)
    assert ladder.is_starving(now + STARVE_SECONDS)
    assert not ladder.is_starving(now + STARVE_SECONDS + 0.1)
    after = run(ladder, iter(every[60:]))
    assert not ladder.is_starving(now + 3 * STARVE_SECONDS)
    stream = Stream(before[SMALL_RID] + after[SMALL_RID])
    assert likeness(stream, sender) > 20


def test_a_ladder_that_is_late_throws_away_up_to_the_next_keyframe() -> None:
    sender, frames = source("vp8", 60, key_every=30)
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    every = list(frames)
    assert run(ladder, iter(every[:10]))
    assert run(ladder, iter(every[10:12]), late=HOPELESS + 0.1) == {}
    assert run(ladder, iter(every[12:30])) == {}
    assert ladder.dropped >= 20
    assert run(ladder, iter(every[30:]))


def test_what_is_late_at_the_start_is_no_reason_to_make_less_and_later_it_is() -> None:
    pace = Pace()
    sender, frames = source("vp8", 60, rate=10)
    ladder = Ladder(sender.track, 7, pace)
    list(ladder.go())
    every = list(frames)
    run(ladder, iter(every[:25]), late=LATE + 0.1)
    assert pace.step == 0
    run(ladder, iter(every[25:]), late=LATE + 0.1)
    assert pace.step > 0


def test_a_screen_keeps_its_lines_and_gives_up_its_motion() -> None:
    sender, frames = source("vp8", 60, name="screen")
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    made = {rid: Stream(packets) for rid, packets in run(ladder, frames).items()}
    small = made[SMALL_RID].decode()
    assert {luma.shape[0] for _, luma in small} == {360}
    assert 6 <= len(small) <= 9


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "av1"])
def test_a_picture_of_no_camera_is_refused_and_not_asked_for_again_and_again(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.derive.pictures.MAX_PIXELS", WIDTH * HEIGHT // 2)
    sender, frames = source(codec, 45, key_every=15)
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    assert run(ladder, frames) == {}
    assert not any(ladder.is_starving(second) for second in range(60))


def test_rubbish_is_passed_over() -> None:
    sender, frames = source("h264", 30, key_every=15)
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    every = list(frames)
    assert list(ladder.packet(b"rubbish", EPOCH, lambda _: 0.0, 0.0)) == []
    broken = [
        Packet(7, one.arrival, one.packet[:-40] + bytes(40)) if len(one.packet) > 80 else one
        for one in every[3]
    ]
    before = run(ladder, iter([*every[:3], broken, *every[4:15]]))
    after = run(ladder, iter(every[15:]))
    assert len(Stream(before[SMALL_RID] + after[SMALL_RID]).frames) >= 8


def test_a_layer_that_a_smaller_source_has_no_use_for_goes_on_in_its_stream() -> None:
    """A window is made smaller and larger again, or an encoder adapts to its link."""
    sender = Sender(track(7, "camera", "vp8"))
    ladder = Ladder(sender.track, 7, Pace())
    list(ladder.go())
    out: dict[int, list[bytes]] = {SMALL_RID: [], MEDIUM_RID: []}
    number = 0
    # Eleven pictures are made before the pause: the next one would have been of temporal layer 1.
    for width, height, frames in ((640, 480, 21), (320, 240, 10), (640, 480, 20)):
        before = len(out[MEDIUM_RID])
        for encoded in encode_video("vp8", frames, frames, width, height, RATE):
            made = run(ladder, iter([sender.frame(encoded, number / RATE)]))
            for rid, packets in made.items():
                out[rid] += packets
            number += 1
        assert (len(out[MEDIUM_RID]) > before) == (height == 480)
    for rid, lines in ((SMALL_RID, 180), (MEDIUM_RID, 360)):
        stream = Stream(out[rid])
        assert {luma.shape[0] for _, luma in stream.decode()} == {lines}
    times = [timestamp for timestamp, _, _, _ in stream.frames]
    steps = [(b - a) & 0xFFFFFFFF for a, b in itertools.pairwise(times)]
    (back,) = [n for n, step in enumerate(steps, 1) if step > 9 * 3_000]
    _, temporal, key, _ = stream.frames[back]
    assert (temporal, key) == (0, True)
