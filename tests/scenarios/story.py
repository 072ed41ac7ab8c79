"""What the scenarios share: the usual sources, rooms on a known layer, and what "fine" means.

Here: words for stories. Not here: the wire (tests.fakes.lesson_wire), any assertion of one story
alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from relay.media.bandwidth import BandwidthEstimate
from relay.media.playout import MOST_MS
from relay.sfu.allocation import HoldOff
from relay.sfu.repair_plan import LinkState, RepairPlan
from tests.fakes.lesson_publisher import LayerPlan, SourcePlan
from tests.fakes.lesson_viewer import FakeViewer
from tests.fakes.lesson_wire import Lesson
from tests.fakes.strict_receiver import Shown

CODECS: Final = ("vp8", "vp9", "h264", "av1")
STARTS: Final = (0, 1, 32767, 32768, 65534, 65535)
"""16-bit numbers from which every family of scenarios is run."""

# bit/s, without the voice, at which a room is on each layer of CAMERA_PLAN at 15 frames/s: more
# than the layer, less than the next one.
RATES: Final = {"q": 45_000.0, "h": 125_000.0, "f": 5_000_000.0}
VOICE_RATE: Final = 41_000.0


def camera(codec: str = "vp8", **settings: object) -> SourcePlan:
    """A simulcast camera; settings are SourcePlan's."""
    plan = SourcePlan("camera", codec)
    for name, value in settings.items():
        setattr(plan, name, value)
    return plan


def single(source: str = "camera", codec: str = "vp8", **settings: object) -> SourcePlan:
    """A source with one encoding."""
    plan = SourcePlan(source, codec, (LayerPlan("", 2, 600),))
    for name, value in settings.items():
        setattr(plan, name, value)
    return plan


def voice(**settings: object) -> SourcePlan:
    """A microphone: 20 ms packets."""
    plan = SourcePlan("voice", "opus", (LayerPlan(""),), 50.0)
    for name, value in settings.items():
        setattr(plan, name, value)
    return plan


class FixedEstimate(BandwidthEstimate):
    """A link of which everything is known: never moved by feedback."""

    def __init__(self, now: float, start: float, loss: float = 0.0) -> None:
        super().__init__(now, start)
        self._fixed_loss = loss
        self._delivery.proven = start

    @property
    def loss(self) -> float:
        return self._fixed_loss

    def receive_feedback(self, *arguments: Any) -> None:
        pass

    def receive_report(self, fraction_lost: float, rtt: float, now: float) -> None:
        pass

    def handle_timer(self, now: float, *, sending: bool) -> None:
        pass

    def probe(self, now: float) -> float:
        return 0.0

    def _set(self, bitrate: float) -> None:
        """Not even by losses or silence."""

    def is_clean(self, seconds: float, now: float) -> bool:
        return False


class FixedPlan(RepairPlan):
    """What guards a room against loss, whatever it loses. playout: milliseconds."""

    def __init__(self, now: float, red_depth: int = 0, playout: int = 0) -> None:
        super().__init__(now)
        self.red_depth = red_depth
        self.playout = playout

    def update(
        self, link: LinkState, voice: float, now: float, *, most_delay: int = MOST_MS
    ) -> bool:
        return False


def guard(lesson: Lesson, room: FakeViewer, red_depth: int = 0, playout: int = 0) -> None:
    """From now on the room's packets are guarded so."""
    assert room.viewer is not None
    room.viewer.plan = FixedPlan(lesson.now, red_depth, playout)
    lesson.router._selection._follow_plan(room.viewer)


class FixedHold(HoldOff):
    """Follows the estimate at once."""

    def may_step_up(self, now: float) -> bool:
        return True


def hold(lesson: Lesson, room: FakeViewer, rid: str) -> None:
    """From now on the room's link takes just the layer `rid` of the camera."""
    assert room.viewer is not None
    assert lesson.publisher is not None
    rate = lesson.publisher.of("camera")[0].plan.rate
    spoken = VOICE_RATE if lesson.publisher.of("voice") else 0.0
    estimate = FixedEstimate(lesson.now, RATES[rid] * rate / 15.0 + spoken)
    room.viewer.bandwidth = estimate
    room.viewer.hold = FixedHold()


def flawless(room: FakeViewer, *slots: str) -> None:
    """Every packet of the slots is there and in its place."""
    for slot in slots:
        audit = room.audit(slot)
        assert not audit.faults, audit.faults[:5]
        assert not audit.missing, audit.missing[:5]


def layers(shown: list[Shown], lesson: Lesson) -> list[str]:
    """The rids that were shown, in order, each stretch once."""
    names: list[str] = []
    for one in shown:
        rid = rid_of(lesson, one.tag.stream)
        if not names or names[-1] != rid:
            names.append(rid)
    return names


def rid_of(lesson: Lesson, stream: int) -> str:
    """Which layer a stream is; "" for another publisher's."""
    assert lesson.publisher is not None
    for outlet in lesson.publisher.outlets:
        if outlet.ssrc == stream:
            return outlet.layer.rid
    return ""


def continuous(shown: list[Shown], since: float, until: float, longest: float) -> None:
    """No hole longer than `longest` seconds between the pictures captured in a time."""
    times = [one.tag.captured for one in shown if since <= one.tag.captured <= until]
    assert times, "nothing was shown"
    edges = [since, *times, until]
    widest = max(b - a for a, b in pairwise(edges))
    assert widest <= longest, f"nothing shown for {widest:.3f} s"
