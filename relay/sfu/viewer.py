"""One room's session in the core: its legs, what its link takes, and what it said about loss.

State only, with the few questions the router asks of it; the router owns it and decides. The
wire's send log (transport-wide numbers) is read here and written by the fan-out. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from relay.media import ntp
from relay.media.bandwidth import BandwidthEstimate
from relay.media.rtcp import RR, ReportBlock
from relay.media.seqno import Unwrapper
from relay.media.twcc import ArrivalClock, TransportFeedback, glance
from relay.sfu.allocation import HoldOff
from relay.sfu.leg import Leg
from relay.sfu.negotiated import SlotSpec
from relay.sfu.pacing import Pace
from relay.sfu.repair_budget import RepairBudget
from relay.sfu.repair_plan import RepairPlan
from relay.sfu.rungs import Rung
from relay.sfu.sink import FanOut

if TYPE_CHECKING:
    from relay.sfu.wants import Wants


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

    @property
    def again(self) -> Container[int]:
        """Numbers, of 16 bits, of packets that left a second time."""


W = TypeVar("W", bound=SendLog)

# Trust no round trip beyond this, seconds: reports may lie.
LONGEST_TRIP = 2.0
# Until the first receiver report answers a sender report.
DEFAULT_RTT = 0.3
# Of a room that lacks nothing, one receiver report in so many is read.
_REPORT_READ_EVERY = 4
# Reference times, of 64 ms each, far within one wrap of them (2²⁴).
_REFERENCES = 4096
# A link is not known yet for so long after its viewer began, unless it pushed back before.
STARTING_SECONDS = 15.0


class Viewer(Generic[W]):
    """identity: unique in the relay. running: whether media may be sent now."""

    def __init__(
        self,
        identity: str,
        slots: Sequence[SlotSpec],
        wire: W,
        fan_out: FanOut[W],
        now: float,
        start: float,
        wake: Callable[[Pace[W]], None],
    ) -> None:
        """start: bit/s to begin with, kept as `started`. wake: called when packets begin to
        wait for the link."""
        self.identity = identity
        self.wire = wire
        self.pace = Pace(wire, fan_out, wake)
        self.legs = {slot.slot: Leg(wire, slot, pace=self.pace) for slot in slots}
        self.pace.legs = list(self.legs.values())
        self.by_ssrc = {leg.spec.ssrc: leg for leg in self.legs.values()}
        self.bandwidth = BandwidthEstimate(now, start)
        self.started = start
        self.hold = HoldOff()
        self.trying_until = now
        """Until when a picture flows that the estimate does not grant."""
        self.flows = False
        """Whether a voice or video is sent to it."""
        self.thin = False
        """Whether it receives the low-rate voice."""
        self.voice_to_come = 0.0
        """bit/s that the full voice takes more than the low-rate one; 0 for who receives that."""
        self.plan = RepairPlan(now)
        self.next_plan = now
        self.rung: Rung | None = None
        """What it was last found to receive; None while nothing is sent to it."""
        self.allotted = 0.0
        """bit/s of all that it is to receive."""
        self.since = now
        self.rtt = DEFAULT_RTT
        self.repairs = RepairBudget(now)
        self.running = False
        self.upstream_ms = 0
        """How late packets may come because a link above this relay lost them, milliseconds."""
        self.wants: Wants | None = None
        """What a relay wants that stands in a viewer's place; None for a room."""
        self.templates: dict[str, SlotSpec] = {}
        """What was agreed with a relay for each source; its legs are by layer."""
        self.served: dict[str, float] = {}
        """When there was the layer last that a relay's leg is for, by the leg's name."""
        self.begun: dict[str, float] = {}
        """Since when a relay's leg is sent what it is for, by the leg's name."""
        self.behind = ""
        """Why it is sent nothing although it is here: it watches the recording, late. Empty: it is
        sent what its link takes."""
        self.has_transport_feedback = False
        self.has_reports = False
        self.next_allocation = now
        self.is_easy = False
        """Whether it has all there is, on a link that takes more."""
        self.report_turn = 0
        self._reports_unread = 0
        self.padded_at = now
        self.padding_due = 0.0
        self.padded = 0
        """Packets of padding."""
        self._feedback_numbers = Unwrapper(16)
        self._arrival_clock = ArrivalClock()
        self._reference = 0
        self._arrival_offset = 0.0
        """Of the last feedback that was read to its end: its reference time and what that lacks."""

    def counts(self) -> dict[str, int]:
        """What it asked for again, by what became of it; false feedback; padding sent."""
        repairs = self.repairs
        return {
            "resent": repairs.resent,
            "late": repairs.late,
            "refused": repairs.refused,
            "hasty": repairs.hasty,
            "flooded": repairs.flooded,
            "false_feedback": self.bandwidth.liar,
            "padding": self.padded,
        }

    def is_starting(self, now: float) -> bool:
        """Whether its link is not known yet."""
        return self.bandwidth.congested_at < self.since and now - self.since < STARTING_SECONDS

    def is_unproven(self, now: float) -> bool:
        """Whether only what passed says how much its link takes: it never pushed back."""
        if not self.has_transport_feedback:
            return self.is_starting(now)
        return self.bandwidth.congested_at < self.since

    def receive_transport_feedback(self, feedback: TransportFeedback, now: float) -> None:
        """Arrival times of what was sent; moves the estimate."""
        self.has_transport_feedback = True
        base = self._feedback_numbers.unwrap(feedback.base_seq)
        offset = self._arrival_clock.offset(feedback.reference)
        self._reference, self._arrival_offset = feedback.reference, offset
        arrivals, wire = feedback.arrivals, self.wire
        # With what waits in the link's queue; reports tell of it only once a second.
        newest = base + len(arrivals) - 1
        trip = now - wire.sent_at[newest & len(wire.sent_at) - 1]
        self.repairs.round_trip = min(trip, LONGEST_TRIP)
        self.bandwidth.receive_feedback(
            base, arrivals, offset, wire.sent_at, wire.sent_size, self.rtt, now, wire.again
        )

    def receive_calm_feedback(self, data: bytes, now: float) -> bool:
        """A datagram of RTCP; whether it was feedback that needs no closer look (`is_easy`)."""
        if len(data) >= 8 and data[1] == RR and len(data) == 4 + 4 * (data[2] << 8 | data[3]):
            # Of a report alone only the round trip is news, which feedback tells as well.
            self._reports_unread = (self._reports_unread + 1) % _REPORT_READ_EVERY
            return self._reports_unread > 0
        seen = glance(data)
        if seen is None:
            return False
        base_seq, count, reference, first, last = seen
        # As far as when one was read last, its clock has not wrapped.
        if not 0 <= reference - self._reference < _REFERENCES:
            return False
        offset, wire = self._arrival_offset, self.wire
        return self.bandwidth.receive_calm(
            base_seq, count, first + offset, last + offset, wire.sent_at, wire.sent_size, now
        )

    def receive_report(self, block: ReportBlock, now: float) -> None:
        """One report block about one of our streams (RFC 3550 §6.4.1)."""
        trip = ntp.round_trip(ntp.middle(ntp.from_unix(now)), block.lsr, block.dlsr)
        if trip is not None:
            self.rtt += (min(trip, LONGEST_TRIP) - self.rtt) * 0.3
        self.has_reports = True
        if not self.has_transport_feedback:
            self.bandwidth.receive_report(block.fraction_lost, self.rtt, now)
