"""Pictures over links where resends come too late: FlexFEC beside what the router sends.

Here: repair packets made of what really leaves to a room, through loss, bursts, changes of layers
and a teacher who begins again. Not here: the packets by themselves (tests/relay/test_fec.py),
whether a browser takes them (tests/bench), who is to have them.
"""

from __future__ import annotations

import random
import struct

import pytest

from relay.media import fec, rtp
from tests.fakes.flexfec import without_transport
from tests.fakes.lesson_viewer import FakeViewer, FakeWire, Offer
from tests.fakes.lesson_wire import FakeFanOut, Lesson, Link
from tests.scenarios.story import CODECS, STARTS, FixedEstimate, camera, flawless, hold, voice
from tests.scenarios.test_repair_resends import bursts

OFFER = Offer(fec=True)
TWCC = OFFER.extensions[rtp.TRANSPORT_CC]


class ProtectingFanOut(FakeFanOut):
    """Follows the media packets of protected wires with their repair packets."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders: dict[FakeWire, dict[int, fec.FecEncoder]] = {}
        self.repairs = 0
        self.sent: dict[tuple[FakeWire, int], bytes] = {}
        """The protected packets by wire and 16-bit number, their transport-wide number zero."""

    def _send(self, wire: FakeWire, packet: bytearray, twcc_offset: int, now: float) -> None:
        super()._send(wire, packet, twcc_offset, now)
        encoder = self.encoders.get(wire, {}).get(struct.unpack_from("!I", packet, 8)[0])
        if encoder is None:
            return
        number = struct.unpack_from("!H", packet, 2)[0]
        self.sent[wire, number] = without_transport(bytes(packet), TWCC)
        for repair in encoder.push(packet, twcc_offset, now):
            self.repairs += 1
            super()._send(wire, repair, encoder.twcc_offset, now)

    def protect(self, room: FakeViewer, wanted: fec.Protection | None) -> None:
        assert room.wire is not None
        encoders = self.encoders.setdefault(room.wire, {})
        for spec in room.slots:
            if spec.fec is not None:
                one = encoders.get(spec.ssrc)
                if one is None:
                    number, ssrc = spec.fec.payload_type, spec.fec.ssrc
                    one = encoders[spec.ssrc] = fec.FecEncoder(number, ssrc, spec.ssrc, TWCC)
                one.protect(wanted)


def story(start: int = 1_000, codec: str = "vp8") -> tuple[Lesson, ProtectingFanOut, FakeViewer]:
    fan_out = ProtectingFanOut()
    lesson = Lesson(fan_out=fan_out, beat=2.0)
    lesson.publish(camera(codec), voice(), start=start)
    lesson.advance(1.0)
    room = lesson.open_room("room", OFFER, down=Link(delay=0.4), up=Link(delay=0.4))
    room.asks_again = False
    fan_out.protect(room, fec.Protection(4))
    hold(lesson, room, "f")
    return lesson, fan_out, room


def share_missing(room: FakeViewer) -> float:
    audit = room.audit("camera", keep_last=20)
    return len(audit.missing) / (audit.packets + len(audit.missing))


def recovered(room: FakeViewer, fan_out: ProtectingFanOut) -> list[int]:
    """Numbers that repair packets brought back, each the same bytes as were sent."""
    receiver = room.streams["camera"].fec
    assert receiver is not None
    assert room.wire is not None
    for number in receiver.recovered:
        assert receiver.media[number] == fan_out.sent[room.wire, number]
    return receiver.recovered


@pytest.mark.parametrize(
    ("codec", "start"),
    [*((codec, 1_000) for codec in CODECS), *(("vp8", start) for start in STARTS)],
)
def test_random_loss_without_any_resend(codec: str, start: int) -> None:
    lesson, fan_out, room = story(start, codec)
    lesson.advance(1.5)
    lesson.downlinks["room"].loss = 0.03
    lesson.advance(12.0)
    lesson.downlinks["room"].loss = 0.0
    lesson.advance(1.5)
    assert len(recovered(room, fan_out)) > 5
    assert share_missing(room) < 0.01
    assert fan_out.repairs < 0.4 * room.streams["camera"].audit.packets


@pytest.mark.parametrize(("rows", "most"), [(1, 1.0), (8, 0.005)])
def test_bursts_need_interleaving(rows: int, most: float) -> None:
    lesson, fan_out, room = story()
    fan_out.protect(room, fec.Protection(5, rows))
    for encoder in fan_out.encoders[room.wire].values() if room.wire is not None else ():
        encoder.window = 2.0
    lesson.advance(3.0)
    lesson.downlinks["room"].drop = bursts(random.Random(2), 6, 0.03)
    lesson.advance(15.0)
    lesson.downlinks["room"].drop = None
    lesson.advance(4.0)
    missing = share_missing(room)
    assert missing <= most
    assert rows > 1 or missing > 0.01


def test_layers_that_change_and_a_teacher_who_begins_again() -> None:
    lesson, fan_out, room = story()
    lesson.downlinks["room"].loss = 0.02
    for rid in ("q", "h", "f", "q"):
        hold(lesson, room, rid)
        fan_out.protect(room, fec.Protection(3 if rid == "h" else 5))
        lesson.advance(3.0)
    lesson.unpublish()
    lesson.advance(0.5)
    fan_out.protect(room, None)
    lesson.publish(camera(), voice(), timestamp=77)
    lesson.advance(2.0)
    fan_out.protect(room, fec.Protection(4))
    lesson.advance(6.0)
    lesson.downlinks["room"].loss = 0.0
    lesson.advance(2.0)
    assert len(recovered(room, fan_out)) > 5


def test_who_is_not_protected_pays_nothing() -> None:
    lesson, _, room = story()
    other = lesson.open_room("other", OFFER)
    lesson.advance(3.0)
    assert other.streams["camera"].fec_packets == 0
    assert room.streams["camera"].fec_packets > 10
    lesson.settle()
    flawless(other, "camera", "voice")
    flawless(room, "voice")


def test_pictures_are_protected_where_resends_come_too_late() -> None:
    """Ten in a hundred are lost a second away: one resend is all that comes in time."""
    lesson = Lesson()
    lesson.publish(camera(), voice())
    lesson.advance(1.0)
    room = lesson.open_room("room", OFFER, down=Link(delay=0.5, loss=0.1), up=Link(delay=0.5))
    near = lesson.open_room("near", OFFER)
    assert room.viewer is not None
    room.asks_again = False
    room.viewer.bandwidth = FixedEstimate(lesson.now, 1e6, 0.1)
    lesson.advance(15.0)
    stream = room.streams["camera"]
    before = stream.fec_packets
    lesson.advance(10.0)
    assert stream.fec_packets > before + 20
    assert share_missing(room) < 0.05
    assert near.streams["camera"].fec_packets == 0
    # The encoder goes on where it was when it is needed again: the same keys, so no number twice.
    room.viewer.bandwidth = FixedEstimate(lesson.now, 1e6, 0.0)
    lesson.advance(40.0)
    quiet = stream.fec_packets
    lesson.advance(5.0)
    assert stream.fec_packets == quiet
    room.viewer.bandwidth = FixedEstimate(lesson.now, 1e6, 0.1)
    lesson.advance(10.0)
    assert stream.fec_packets > quiet
