"""Decides for each viewer which layer each slot is to receive, and when to think again.

Sources map to slots by name; the one video of a stock WHEP player shows the screen while it is
shared, else the camera. The arithmetic is `allocation`'s, what the sources have to offer is
`offerings`'s, the moving is `joining`'s. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic

from relay.media import rtp
from relay.media.fec import FecEncoder, Protection
from relay.sfu import rungs
from relay.sfu.allocation import (
    AMPLE,
    ENOUGH,
    Option,
    choose,
    frames_of,
    is_thin,
    next_step,
    stills_bitrate,
)
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.joining import Joining, can_decode
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.negotiated import CAMERA, PROGRAMME, SCREEN, VOICE
from relay.sfu.offerings import Offering, Offerings
from relay.sfu.pacing import STALE_SECONDS
from relay.sfu.repair_plan import LinkState
from relay.sfu.rungs import Rung
from relay.sfu.trunk_selection import TrunkSelection
from relay.sfu.viewer import Viewer, W

# Often enough to follow a link, seldom enough to cost little with 200 viewers.
ALLOCATION_INTERVAL: Final = 1.0
# And seldom for rooms that have all there is, on links that take more: what changes comes sooner,
# since whatever points to a queue makes it think at once.
EASY_INTERVAL: Final = 3.0
EASY_LOSS: Final = 0.002
# While the link is not known yet.
STARTING_INTERVAL: Final = 0.25
# A first picture may take this long of the link; a larger one waits for a keyframe instead.
_FIRST_PICTURE_SECONDS: Final = 1.0
# A room that lost its pictures waits for the beat instead, as does one that has to leave its layer
# at once and would not be through before it,
# if catching up with the cached pictures would take longer than this.
_CATCH_UP_SECONDS: Final = 3.0
# A keyframe that was asked for so lately is waited for.
_UNDER_WAY: Final = 1.0
# And a step down is made at once where it takes no longer than this.
_QUICK: Final = 1.0
# What is left beside the voice for pictures that wait is never less, or they would wait for ever.
_PACE_LEAST: Final = 8_000.0
# What is tried without knowing flows so long, unless the link pushes back: feedback takes a while.
_TRY_SECONDS: Final = 4.0
# For so long after the link pushed back, beside a round trip, what flows may stay although it takes
# so many times what is left for it.
_SETTLING_SECONDS: Final = 0.5
_SETTLING: Final = 1.3
# Until a link pushed back, all that is chosen together is no more than so many times what was seen
# to pass; where that is much, less, and less still by so many times what the link loses: what makes
# up for that comes on top, the more of it the longer the loss is known.
_BOLD: Final = 1.5
_BOLD_LARGE: Final = 1.25
_BOLD_LOSS: Final = 4.0
_BOLD_UNTIL: Final = 300_000.0
_SHOWING: Final = (SCREEN, PROGRAMME, CAMERA)


class Selection(Generic[W]):
    """One per router. Set `changed` when layers came, went or changed their codec."""

    def __init__(
        self, joining: Joining[W], next_beat: Callable[[], float | None], lesson: str
    ) -> None:
        """next_beat: when keyframes come by themselves, seconds; None while nothing is sent."""
        self._joining = joining
        self.trunk: TrunkSelection[W] = TrunkSelection(lesson, joining)
        self._next_beat = next_beat
        self.changed = False
        self._active: frozenset[int] = frozenset()
        self._offerings = Offerings()

    def needs_reset(self, layers: Sequence[Layer], now: float) -> bool:
        """Whether the set of layers that are being sent changed since the last reset."""
        return self.changed or self._active != _active(layers, now)

    def reset(self, viewers: Iterable[Viewer[W]], layers: Sequence[Layer], now: float) -> None:
        """Think again for everybody: a source came or went."""
        self.changed = False
        self._active = _active(layers, now)
        self._offerings.forget()
        for viewer in viewers:
            if viewer.running:
                self.allocate(viewer, layers, now)

    def start(self, viewer: Viewer[W], layers: Sequence[Layer], now: float) -> None:
        """A viewer begins or comes back: the best first picture that its link can take."""
        self.allocate(viewer, layers, now)

    def allocate(self, viewer: Viewer[W], layers: Sequence[Layer], now: float) -> None:
        """Set every leg's target, the pace, and the viewer's rung."""
        if viewer.wants is not None:
            if self.changed:
                self._offerings.forget()
            self.trunk.allocate(viewer, layers, self._offerings.current(layers, now), now)
            return
        if viewer.behind:
            self._keep_behind(viewer, now)
            return
        starting = viewer.is_starting(now)
        soon = starting or self._is_settling(viewer, now)
        viewer.next_allocation = now + (STARTING_INTERVAL if soon else ALLOCATION_INTERVAL)
        if self.changed:
            self._offerings.forget()  # what is remembered may have other places by now
        for each in viewer.legs.values():
            each.expire(now)
        found = self._offerings.current(layers, now)
        estimate, hold = viewer.bandwidth, viewer.hold
        if estimate.resumed_at > hold.forgiven_at:
            hold.forgive(now)
        elif (
            estimate.congested_at > max(hold.changed_at, hold.forgiven_at)
            # Where much more passes than flows, it was padding that the link pushed back.
            and estimate.bitrate < AMPLE * viewer.allotted
        ):
            hold.congested(now)
            viewer.trying_until = now
        if any(leg.group is None or leg.group.layer is not leg.target for leg in _seen(viewer)):
            hold.still_waiting(now)
        if viewer.pace.delay > STALE_SECONDS * (2.0 if starting else 1.0):
            for late in _seen(viewer):
                until = late.catches_up_until
                if late.spec.kind == "video" and (until is None or now >= until):
                    self._joining.give_up(late, now)
        budget = estimate.bitrate - self._give_voice(viewer, found.get(VOICE), starting, now)
        self._set_pace(viewer, budget, now)
        protection = viewer.plan.protection
        if protection is not None and any(leg.protection for leg in viewer.legs.values()):
            # The repair packets are inside what the link takes, never on top of it.
            budget /= 1.0 + protection.overhead
        rung: Rung | None = None
        wanted = estimate.bitrate - budget
        for slot in _SHOWING:
            leg = viewer.legs.get(slot)
            if leg is None:
                continue
            source = slot
            if slot == PROGRAMME:
                shared = found.get(SCREEN)
                takes = shared is not None and any(can_decode(leg, one) for one in shared.layers)
                source = SCREEN if takes else CAMERA
            offering = found.get(source)
            if offering is not None:
                offering = offering.decodable(leg)
            if offering is None or not offering.options:
                # Silent sources may come back: their legs go on then as if nothing had been.
                continue
            sharp = source == SCREEN
            option = self._choose(viewer, leg, offering, budget, starting, sharp, now)
            self._move(leg, option, offering, budget, viewer, now)
            # Who has all there is asks its link for no more.
            top = offering.options[-1]
            wanted += top.bitrate * (1.0 if option == top else ENOUGH)
            shown = _shown(leg, offering) if option is not None else None
            if option is not None:
                viewer.flows = True
                budget -= option.bitrate
            # Until the first picture has come, a still one is what there is to see; what is set
            # aside for that picture is not filled with stills.
            stills = stills_bitrate(budget) if shown is None and rung is None else 0.0
            if option is None:
                budget -= stills
            if rung is None:
                best = option == top and shown is offering.layers[-1]
                name = rungs.STILLS if option is not None else rungs.below_video(stills)
                if shown is not None:
                    places = offering.places()
                    name = rungs.name(places.index(shown.index), len(places))
                rung = self._rung(viewer, name, best, stills, starting)
        if rung is None and found.get(VOICE) is not None:
            rung = self._rung(viewer, rungs.VOICE_ONLY, True, 0.0, starting)
        viewer.rung = rung
        estimate.beside = rung.stills_bitrate if rung is not None else 0.0
        viewer.allotted = estimate.bitrate - budget
        estimate.note_limited(wanted, now)
        viewer.is_easy = (
            estimate.is_satisfied
            and not soon
            and rung is not None
            and rung.reason == rungs.SOURCE
            and estimate.loss < EASY_LOSS
            # Reports alone tell of a queue too seldom to be waited for.
            and viewer.has_transport_feedback
            and not viewer.pace.is_busy
        )
        if viewer.is_easy:
            viewer.next_allocation = now + EASY_INTERVAL

    def _keep_behind(self, viewer: Viewer[W], now: float) -> None:
        """Nothing live: the room watches the recording, and the link is the recording's."""
        viewer.next_allocation = now + EASY_INTERVAL
        for leg in viewer.legs.values():
            self._joining.want(leg, None, 0, now)
        viewer.flows = viewer.is_easy = False
        viewer.allotted = viewer.bandwidth.beside = 0.0
        viewer.rung = self._rung(viewer, rungs.CATCH_UP, False, 0.0, False, viewer.behind)

    def _give_voice(
        self, viewer: Viewer[W], voice: Offering | None, starting: bool, now: float
    ) -> float:
        """The voice, and what guards it and the pictures against loss; its bit/s."""
        leg = viewer.legs.get(VOICE)
        estimate = viewer.bandwidth
        bitrate = 0.0
        if leg is not None and voice is not None and voice.options:
            # A link that is not known yet gets the voice that nearly every link takes.
            # A trial of a few seconds changes no voice: fewer packets would only prolong it.
            viewer.thin = is_thin(estimate.lasting, viewer.thin)
            bitrate = voice.options[0 if viewer.thin else -1].bitrate
            layer = voice.layers[0 if viewer.thin else -1]
            self._joining.want(leg, layer, ALL_TEMPORAL, now)
        viewer.flows = bitrate > 0.0
        frames = frames_of(bitrate, thin=viewer.thin)
        viewer.voice_to_come = 0.0
        if now >= viewer.next_plan:
            viewer.next_plan = now + ALLOCATION_INTERVAL
            link = LinkState(
                estimate.bitrate,
                estimate.loss,
                viewer.rtt,
                estimate.jitter,
                estimate.burst,
                tight=not starting and not estimate.is_satisfied,
                upstream_ms=viewer.upstream_ms,
            )
            if viewer.plan.update(link, frames, now):
                self._follow_plan(viewer)
        depth = leg.red_depth if leg is not None else 0
        if viewer.thin and bitrate and voice is not None:
            full = voice.options[-1].bitrate
            more = full - bitrate + depth * (frames_of(full, thin=False) - frames)
            viewer.voice_to_come = max(0.0, more)
        return bitrate + depth * frames

    def _follow_plan(self, viewer: Viewer[W]) -> None:
        plan = viewer.plan
        # Who is told nothing plays as late as it finds right.
        viewer.repairs.delay = plan.playout / 1e3 or None
        for leg in viewer.legs.values():
            if leg.spec.kind == "video":
                leg.playout = plan.playout or None
                _protect(leg, plan.protection)
            else:
                takes = any(codec.red is not None for codec in leg.spec.codecs)
                leg.red_depth = plan.red_depth if takes else 0
            self._joining.reprofile(leg)

    def _is_settling(self, viewer: Viewer[W], now: float) -> bool:
        """Whether the link pushed back so lately that how much it takes is not known yet."""
        return now - viewer.bandwidth.congested_at < _SETTLING_SECONDS + viewer.rtt

    def _set_pace(self, viewer: Viewer[W], budget: float, now: float) -> None:
        estimate = viewer.bandwidth
        pace = estimate.start_pace if viewer.is_unproven(now) else estimate.pace
        rate = max(budget + pace - estimate.bitrate, _PACE_LEAST)
        if viewer.pace.set_rate(rate, now):
            for leg in viewer.legs.values():
                if leg.group is not None:
                    leg.group.legs.paces_changed()

    def _choose(
        self,
        viewer: Viewer[W],
        leg: Leg[W],
        offering: Offering,
        budget: float,
        starting: bool,
        sharp: bool,
        now: float,
    ) -> Option | None:
        """The option that fits; upwards only as fast as the hold-off allows."""
        hold, estimate = viewer.hold, viewer.bandwidth
        granted = budget
        if viewer.is_unproven(now):
            # An estimate runs ahead of what has passed; a picture that the link does not take
            # would cost the voice.
            passed = max(estimate.proven, viewer.started)
            large = max(1.0, _BOLD_LARGE - _BOLD_LOSS * estimate.own_loss)
            bold = min(_BOLD * passed, max(_BOLD_UNTIL, large * passed))
            budget = min(budget, bold - (estimate.bitrate - budget))
        option = choose(offering.options, budget, sharp=sharp)
        current = offering.option_of(leg)
        if current is not None and (option is None or _order(option) < _order(current)):
            # What flows stays as long as it fits, and where nothing pushed back a little longer:
            # the margin is for stepping up. The first guess after the link pushed back is often
            # too low; until there is a better one, pictures wait in the pacer. What passed once is
            # enough for a step that waits for the beat, though the proof of it fades.
            most = granted * 1.1 if estimate.is_clean(1.0, now) else granted
            if self._is_settling(viewer, now):
                most = granted * _SETTLING
            if current.bitrate <= most or now < viewer.trying_until:
                option = current
        elif option is not None and (current is None or _order(option) > _order(current)):
            # From still pictures to moving ones there is a keyframe to be carried, too; and nothing
            # is worse to look at than pictures that move for two seconds now and then.
            # They are begun beside the full voice, or that would end them as the link is found.
            begins = current is None and leg.denied and not sharp
            if begins or (current is not None and hold.has_failed):
                left = budget - viewer.voice_to_come if begins else budget
                option = choose(offering.options, left, sharp=sharp, again=True)
                if current is not None:
                    option = current if option is None else max(option, current, key=_order)
            if option is None or option == current:
                pass
            elif current is None and not leg.denied:
                pass  # a source that was away comes back, or is new: to what it fits
            elif starting or hold.may_step_up(now) or option.bitrate * AMPLE <= budget:
                hold.stepped_up(now)
            else:
                option = current
        if option != current or not hold.may_step_up(now):
            return option
        if not viewer.flows and option is None:
            knows_nothing = now - estimate.congested_at > hold.hold
        else:
            reports_alone = viewer.has_reports and not viewer.has_transport_feedback
            knows_nothing = reports_alone and estimate.is_clean(hold.hold, now)
        if knows_nothing:
            # Nothing says what the link would take: only trying does.
            step = next_step(offering.options, current)
            if step is not None:
                hold.stepped_up(now)
                viewer.trying_until = now + _TRY_SECONDS
                option = step
        return option

    def _move(
        self,
        leg: Leg[W],
        option: Option | None,
        offering: Offering,
        budget: float,
        viewer: Viewer[W],
        now: float,
    ) -> None:
        leg.denied = option is None
        if option is None:
            self._joining.want(leg, None, 0, now)
            return
        layer, temporal = offering.layer_of(option), option.temporal
        may_burst, at_once = True, False
        if leg.group is None or leg.group.layer.track is not layer.track:
            if leg.burst_layer is not None and leg.target in offering.layers:
                # The first picture is under way; the next thought comes when it is live.
                return
            layer, temporal = self._first_picture(layer, temporal, offering, viewer)
            fresh = leg.last_timestamp is None and viewer.is_starting(now)
            may_burst = fresh or self._may_catch_up(leg, layer, offering, budget, now)
        elif layer.index < leg.group.layer.index:
            # Down: with the cached pictures, if that is quick; else until the beat the lowest
            # temporal layer of what flows now, if that fits.
            catch_up = _catch_up(layer, offering, budget)
            at_once = catch_up <= _QUICK or offering.least_of(leg.group.layer) > budget
            if at_once and catch_up > _CATCH_UP_SECONDS:
                layer, temporal = offering.smallest()
                catch_up = _catch_up(layer, offering, budget)
            if at_once:
                may_burst = self._may_catch_up(leg, layer, offering, budget, now)
            else:
                may_burst = catch_up <= _CATCH_UP_SECONDS
        elif layer is leg.group.layer:
            # It may ask for a picture at any moment.
            may_burst = _catch_up(layer, offering, budget) <= _CATCH_UP_SECONDS
        if temporal == offering.top_temporal(layer):
            # No change of temporal layer in what follows: one group for all who take everything.
            temporal = ALL_TEMPORAL
        self._joining.want(leg, layer, temporal, now, at_once=at_once, may_burst=may_burst)

    def _may_catch_up(
        self, leg: Leg[W], layer: Layer, offering: Offering, budget: float, now: float
    ) -> bool:
        """Whether a room that has no picture should begin with the cached ones of `layer`.

        Where it catches up soon; and where it does not, but has seen them before the beat.
        """
        beat, pictures = self._next_beat(), layer.pictures
        if beat is None or not layer.rid:
            return _catch_up(layer, offering, budget) <= _CATCH_UP_SECONDS
        asked = now - layer.keyframe_asked_at
        if pictures.first is None or (asked < _UNDER_WAY and now - pictures.first.arrived > asked):
            return False  # the beat's keyframe is on its way
        if _catch_up(layer, offering, budget) <= _CATCH_UP_SECONDS:
            leg.catches_up_until = min(beat, now + _CATCH_UP_SECONDS)
            return True
        if pictures.weight * 8 >= budget * (beat - now):
            return False
        leg.catches_up_until = beat
        return True

    def _first_picture(
        self, layer: Layer, temporal: int, offering: Offering, viewer: Viewer[W]
    ) -> tuple[Layer, int]:
        """`layer`, or the smallest one when the cached pictures of `layer` are too heavy."""
        allowed = viewer.bandwidth.bitrate * _FIRST_PICTURE_SECONDS / 8
        if 0 < layer.pictures.weight <= allowed:
            return layer, temporal
        smallest = offering.smallest()
        return smallest if smallest[0].pictures.base_frames() else (layer, temporal)

    def _rung(
        self,
        viewer: Viewer[W],
        name: str,
        best: bool,
        stills: float,
        starting: bool,
        reason: str = "",
    ) -> Rung:
        """best: the source has no more to offer. reason: another one that is known."""
        estimate = viewer.bandwidth
        if not reason:
            reason = rungs.SOURCE if best else _reason(viewer, starting)
        return Rung(
            name,
            reason,
            estimate.bitrate,
            estimate.loss,
            max(viewer.rtt, viewer.repairs.round_trip),
            stills,
            viewer.plan.playout / 1e3,
        )


def _protect(leg: Leg[W], protection: Protection | None) -> None:
    """Follow the leg's pictures with repair packets, or no more."""
    spec = leg.spec
    if spec.fec is None:
        return
    if leg.encoder is None and protection is not None:
        twcc = spec.extensions.get(rtp.TRANSPORT_CC, 0)
        leg.encoder = FecEncoder(spec.fec.payload_type, spec.fec.ssrc, spec.ssrc, twcc)
    leg.protection = protection
    if leg.encoder is not None:
        leg.encoder.protect(protection)
    if leg.group is not None:
        leg.group.legs.reconsider(leg)


def _reason(viewer: Viewer[W], starting: bool) -> str:
    estimate = viewer.bandwidth
    if starting:
        return rungs.STARTING
    if not viewer.has_transport_feedback:
        return rungs.NO_FEEDBACK
    if estimate.queue_delay > 0.2:
        return rungs.QUEUE
    return rungs.LOSS if estimate.loss > 0.1 else rungs.LINK


def _catch_up(layer: Layer, offering: Offering, budget: float) -> float:
    """Seconds until a room that had pictures before has caught up with the cached ones.

    Meanwhile the lowest temporal layer goes on.
    """
    spare, weight = budget - offering.floors.get(layer.index, 0.0), layer.pictures.weight
    return weight * 8 / spare if spare > 0 and weight else float("inf")


def _shown(leg: Leg[W], offering: Offering) -> Layer | None:
    """The layer whose pictures the leg's viewer is sent now; another may be about to begin."""
    layer = leg.group.layer if leg.group is not None else leg.burst_layer
    return layer if layer in offering.layers else None


def _seen(viewer: Viewer[W]) -> list[Leg[W]]:
    """The legs that are to show something."""
    return [leg for leg in viewer.legs.values() if leg.target is not None]


def _order(option: Option) -> tuple[int, int]:
    return option.layer, option.temporal


def _active(layers: Sequence[Layer], now: float) -> frozenset[int]:
    return frozenset(id(layer) for layer in layers if layer.rate.is_active(now))
