"""One room's session in the core: its legs, what its link takes, and what it said about loss.

State only, with the few questions the router asks of it; the router owns it and decides. The
wire's send log (transport-wide numbers) is read here and written by the fan-out. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from relay.media import ntp
from relay.media.bandwidth import BandwidthEstimate
from relay.media.rtcp import ReportBlock
from relay.media.seqno import Unwrapper
from relay.media.twcc import ArrivalClock, TransportFeedback
from relay.sfu.allocation import Climber
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SlotSpec
from relay.sfu.repair_budget import RepairBudget


class SendLog(Protocol):
    """What the core reads of a viewer's transport.

    Both are rings by transport-wide number modulo their length, a power of two.
    """

    @property
    def sent_at(self) -> Sequence[float]:
        """Seconds."""

    @property
    def sent_size(self) -> Sequence[int]:
        """Bytes."""


W = TypeVar("W", bound=SendLog)

# Until the first receiver report answers a sender report.
DEFAULT_RTT = 0.3


class Viewer(Generic[W]):
    """identity: unique in the relay. running: whether media may be sent now."""

    def __init__(
        self, identity: str, slots: Sequence[SlotSpec], wire: W, now: float, start: float
    ) -> None:
        self.identity = identity
        self.wire = wire
        self.legs = {slot.slot: Leg(wire, slot) for slot in slots}
        self.by_ssrc = {leg.spec.ssrc: leg for leg in self.legs.values()}
        self.bandwidth = BandwidthEstimate(now, start)
        self.climber = Climber()
        self.rtt = DEFAULT_RTT
        self.repairs = RepairBudget(now)
        self.running = False
        self.has_transport_feedback = False
        self.next_allocation = now
        self.report_turn = 0
        self.fraction_lost = 0.0
        self._feedback_numbers = Unwrapper(16)
        self._arrival_clock = ArrivalClock()

    def receive_transport_feedback(self, feedback: TransportFeedback, now: float) -> None:
        """Arrival times of what was sent; moves the estimate."""
        self.has_transport_feedback = True
        base = self._feedback_numbers.unwrap(feedback.base_seq)
        offset = self._arrival_clock.offset(feedback)
        arrivals, wire = feedback.arrivals, self.wire
        newest = base + len(arrivals) - 1
        # With what waits in the link's queue; reports tell of it only once a second.
        self.repairs.round_trip = now - wire.sent_at[newest & len(wire.sent_at) - 1]
        self.bandwidth.receive_feedback(
            base, arrivals, offset, wire.sent_at, wire.sent_size, self.rtt, now
        )

    def receive_report(self, block: ReportBlock, now: float) -> None:
        """One report block about one of our streams (RFC 3550 §6.4.1)."""
        trip = ntp.round_trip(ntp.middle(ntp.from_unix(now)), block.lsr, block.dlsr)
        if trip is not None:
            self.rtt += (trip - self.rtt) * 0.3
        self.fraction_lost = block.fraction_lost
        if not self.has_transport_feedback:
            self.bandwidth.receive_report(block.fraction_lost, self.rtt, now)
