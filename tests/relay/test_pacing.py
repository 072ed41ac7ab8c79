"""A viewer's own way out: what was never sent, and what waits to be sent again.

Here: what scenarios would pin only by accident. Not here: the order and the clockwork (test_pacer).
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from relay.media import rtp
from relay.media.codec import VP8
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SlotCodec, SlotSpec
from relay.sfu.pacing import Pace, Waiting
from relay.sfu.sink import Run

SSRC = 7


class Link:
    """Numbers of what was sent to it."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def fan_out(self, runs: Sequence[Run[str]], now: float) -> None:
        raise AssertionError

    def send_rtp(
        self,
        wire: str,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        self.sent.append(int.from_bytes(packet[2:4], "big"))

    def send_rtcp(self, wire: str, packet: bytes) -> None:
        raise AssertionError


def picture(leg: Leg[str], number: int) -> Waiting[str]:
    packet = rtp.build(96, False, number, 9_000, leg.spec.ssrc, b"", bytes(1_000))
    return Waiting.whole(leg, bytearray(packet), 0)


@pytest.fixture
def leg() -> Leg[str]:
    return Leg("room", SlotSpec("camera", "0", "video", SSRC, 8, (SlotCodec(96, VP8),)))


def test_a_repair_that_waits_was_sent_before(leg: Leg[str]) -> None:
    """Its number must not be given to another packet: it would go out under the same keys."""
    link = Link()
    pace = Pace("room", link, lambda pace: None)
    pace.set_rate(60_000.0, 0.0)
    for number in (1, 2, 3):
        pace.send(picture(leg, number), 0.0, again=False)
    assert link.sent == [1]
    pace.send(picture(leg, 1), 0.0, again=True)
    assert pace.unsent_numbers(leg) == {2, 3}
    assert pace.unsent_numbers(Leg("other", leg.spec)) == set()
    assert [one.sequence16 for one in pace.forget(leg, finish=False)] == [2, 3]
    pace.handle_timer(10.0)
    assert link.sent == [1]
    assert pace.unsent_numbers(leg) == set()
