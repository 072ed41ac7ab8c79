"""How a leg gets onto a layer: at a keyframe, or at once from the cached group of pictures.

A leg waits in its target's `joiners` and moves at the first frame that it can decode; until then
it stays where it is. A burst carries the base layer's frames since the keyframe with timestamps
squeezed together, so that the room decodes up to now at once instead of playing the past. What a
viewer lost comes back through `repairs`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from relay.media import rtp
from relay.media.codec import Codec, can_forward, compatible
from relay.media.seqno import delta32
from relay.sfu.first_pictures import FirstPictures
from relay.sfu.group import Group, Profile, passed_extensions
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.pacing import Waiting
from relay.sfu.packet import Received
from relay.sfu.repairs import send_alone
from relay.sfu.sink import FanOut
from relay.sfu.starving import is_fresh

W = TypeVar("W")

# Timestamp ticks (90 kHz) between the frames of a burst: 1 ms, enough to keep them apart.
_BURST_STEP: Final = 90
# With a keyframe, what waits for a viewer's link for longer is not worth its time any more.
_LATE: Final = 1.0
# Packets between the newest and the oldest that waits, at most: no queue is longer.
_BEHIND: Final = 4_096
# Cries that follow each other sooner are about the same loss.
_CRIES: Final = 3.0
# A viewer that cries for pictures more often gets none the faster.
_RECOVER_INTERVAL: Final = 1.0


class Joining(Generic[W]):
    """Moves legs between groups for one router. flush: sends what was queued before a move."""

    def __init__(self, flush: Callable[[float], None], fan_out: FanOut[W]) -> None:
        self._flush = flush
        self._fan_out = fan_out
        self.joined: dict[Group, list[tuple[Leg[W], bool]]] = {}
        """Legs to join a group with the packet that is being forwarded now."""

    def want(
        self,
        leg: Leg[W],
        layer: Layer | None,
        temporal: int,
        now: float,
        *,
        at_once: bool = False,
        may_burst: bool = True,
    ) -> None:
        """Send `layer` (up to temporal id `temporal`) to the leg as soon as it can be decoded.

        at_once: what the leg receives now is too much for its link or of no use any more, so
        leave it even if there is nothing to show yet. may_burst: the cached pictures are not too
        heavy.
        """
        if layer is None:
            if leg.target is not None or leg.group is not None:
                self._flush(now)
                self.detach(leg)
            return
        leg.may_burst = may_burst
        if leg.target is layer and leg.target_temporal == temporal:
            if at_once and leg.group is not None and leg.group.layer is not layer:
                self._leave(leg, now)
                self._burst(leg, layer, now)
            return
        group = leg.group
        if profile_for(leg, layer) is None:
            if leg.target is None or group is None:
                self._stop_waiting(leg)
                leg.target = None
            return
        self._stop_waiting(leg)
        leg.target, leg.target_temporal = layer, temporal
        if group is not None and group.layer is layer and group.max_temporal == temporal:
            return
        if group is not None and group.layer is not layer:
            old = group.layer
            elsewhere = old.track is not layer.track or not old.rate.is_active(now)
            if at_once or (elsewhere and may_burst and layer.pictures.is_whole()):
                self._leave(leg, now)
            elif (
                layer.index < old.index
                and not elsewhere
                and group.max_temporal > 0
                and old.rate.temporal_layers() > 1
            ):
                leg.shedding = old
                old.joiners.append(leg)
        layer.joiners.append(leg)
        if leg.group is None and layer.is_video:
            self._burst(leg, layer, now)

    def reprofile(self, leg: Leg[W]) -> None:
        """What its packets are to carry (`red_depth`, `playout`) has changed: from the next on."""
        layer, group = leg.target, leg.group
        if (
            layer is not None
            and group is not None
            and group.layer is layer
            and leg not in layer.joiners
            and profile_for(leg, layer) != group.profile
        ):
            layer.joiners.append(leg)

    def give_up(self, leg: Leg[W], now: float) -> None:
        """What the leg receives comes too late to be of use: it begins anew with a keyframe."""
        layer = leg.target
        if layer is None or leg.group is None:
            return
        self._leave(leg, now)
        leg.may_burst = False
        if leg not in layer.joiners:
            layer.joiners.append(leg)

    def begin_afresh(self, layer: Layer, packet: Received, now: float) -> None:
        """A keyframe begins: who was allowed to be late goes on with it, once, and is late no more.

        packet: its first one.
        """
        held = [leg for group in layer.groups.values() for leg in group.legs.held]
        bursting = [leg for leg in layer.joiners if leg.group is None and leg.burst_layer is layer]
        for leg in held + bursting:
            if (
                leg.catches_up_until is None
                or leg.target is not layer
                or packet.info.temporal_id > leg.target_temporal
            ):
                continue
            leg.catches_up_until = None
            if leg.pace is None or leg.pace.delay <= _LATE:
                continue
            self._leave(leg, now)
            leg.burst_layer = None
            if leg not in layer.joiners:
                layer.joiners.append(leg)

    def _leave(self, leg: Leg[W], now: float) -> None:
        self._flush(now)
        self._stop_shedding(leg)
        leg.leave()
        _forget_waiting(leg)

    def detach(self, leg: Leg[W], *, finish: bool = True) -> None:
        """The leg receives nothing and waits for nothing. Flush before.

        finish: a frame of which little is missing may still be sent to its end.
        """
        self._stop_waiting(leg)
        for joiners in self.joined.values():
            joiners[:] = [one for one in joiners if one[0] is not leg]
        leg.leave()
        _forget_waiting(leg, finish=finish)
        leg.target = None
        leg.burst_layer = None

    def abandon(self, layer: Layer) -> None:
        """The layer ends: all its legs are free. Flush before."""
        for group in list(layer.groups.values()):
            for leg in list(group.legs.everyone()):
                self.detach(leg)
        for leg in list(layer.joiners):
            self.detach(leg)

    def _stop_waiting(self, leg: Leg[W]) -> None:
        self._stop_shedding(leg)
        if leg.target is not None and leg in leg.target.joiners:
            leg.target.joiners.remove(leg)

    def _stop_shedding(self, leg: Leg[W]) -> None:
        if leg.shedding is not None:
            leg.shedding.joiners.remove(leg)
            leg.shedding = None

    def at_frame_start(self, layer: Layer, packet: Received, follows: bool, now: float) -> None:
        """`packet` begins a frame of `layer`: who waits and can decode it joins with it.

        follows: nothing is missing just before it, so a step to another temporal layer loses no
        packet without leaving a gap to ask about.
        """
        ready = [leg for leg in layer.joiners if _can_begin(leg, layer, packet, follows)]
        if not ready:
            return
        self._flush(now)
        info = packet.info
        # Groups are looked up when all have left theirs: one that loses its last leg is forgotten.
        moves: list[tuple[int, Profile, Leg[W], bool]] = []
        for leg in ready:
            profile = profile_for(leg, layer)
            temporal = leg.target_temporal
            continues = leg.group is not None and leg.group.layer is layer
            if leg.target is not layer:
                self._stop_shedding(leg)
                temporal = 0
            elif profile is not None and is_fresh(leg, layer) and not info.keyframe:
                if layer.is_video:
                    leg.leave()
                    self._finish_burst(leg, layer, packet, now)
                    continues = True
                if layer.rate.temporal_layers() > 1 and not leg.spec.exact:
                    # Frames above may lean on others that the burst left out: see _can_begin.
                    temporal = 0
            if leg.target is layer and temporal == leg.target_temporal:
                layer.joiners.remove(leg)
            if profile is None:
                continue
            if leg.group is not None and leg.group.layer is not layer:
                self._stop_shedding(leg)
            if leg.last_timestamp is None:
                leg.burst_at = now  # its first picture
            if leg.group is None and layer.is_video and not continues:
                _begin(leg, now)
            leg.leave()
            leg.burst_layer = None
            moves.append((temporal, profile, leg, continues))
        for temporal, profile, leg, continues in moves:
            self.joined.setdefault(layer.group(temporal, profile), []).append((leg, continues))

    def _burst(self, leg: Leg[W], layer: Layer, now: float, before: Received | None = None) -> bool:
        """Send the cached base frames that are older than `before`; False when that is no use.

        To a room that has a picture already, the beginning of a broken group is none.
        """
        pictures = layer.pictures
        frames = pictures.base_frames()
        if before is not None:
            frames = [frame for frame in frames if frame[0].sequence < before.sequence]
        profile = profile_for(leg, layer)
        if profile is None or pictures.first is None or not leg.may_burst:
            return False
        if not pictures.is_whole() and (not frames or leg.last_timestamp is not None):
            return False
        if leg.spec.exact and not _is_new_to(leg, pictures.first):
            return False
        # Not one of the layer's groups: nothing is forwarded to it, spans alone refer to it.
        group = Group(layer, leg.target_temporal, profile)
        leg.begin_burst(group, group.build(pictures.first, 0))
        leg.burst_layer = layer
        leg.burst_until = -1
        leg.burst_at = now
        _begin(leg, now)
        if leg.spec.exact:
            self._send_exactly(leg, layer, before, now)
            return True
        if not frames:
            return True  # the keyframe is still coming in
        newest = frames[-1][0].timestamp + layer.slot_offset
        start = (newest - (len(frames) - 1) * _BURST_STEP) & 0xFFFFFFFF
        step = _BURST_STEP
        told = leg.told_until
        if told is not None and delta32(start, told) <= 0:
            start, step = (told + 1) & 0xFFFFFFFF, 1
        for index, frame in enumerate(frames):
            self._send_frame(leg, group, frame, (start + index * step) & 0xFFFFFFFF, now)
        _let_go(leg, now)
        leg.burst_until = frames[-1][-1].sequence
        return True

    def _send_frame(
        self, leg: Leg[W], group: Group, frame: Sequence[Received], timestamp: int, now: float
    ) -> None:
        shared = group.layer.pictures.shared(group.profile)
        for packet in frame:
            out = shared.get(packet.sequence)
            if out is None:
                out = shared[packet.sequence] = group.build(packet, 0)
            sent = leg.add_burst(packet, out, timestamp, starts_frame=packet is frame[0])
            send_alone(self._fan_out, leg, sent, out, now)

    def _finish_burst(self, leg: Leg[W], layer: Layer, packet: Received, now: float) -> None:
        """Base frames completed between the burst, if there was one, and `packet`."""
        if leg.burst_layer is not layer and not self._burst(leg, layer, now, packet):
            return
        if leg.spec.exact:
            self._send_exactly(leg, layer, packet, now)
            return
        group = leg.spans[-1].group
        for frame in layer.pictures.base_frames():
            if frame[0].sequence <= leg.burst_until:
                continue
            if frame[0].sequence >= packet.sequence:
                break
            timestamp = (frame[0].timestamp + layer.slot_offset) & 0xFFFFFFFF
            told = leg.told_until
            if told is not None and delta32(timestamp, told) <= 0:
                timestamp = (told + 1) & 0xFFFFFFFF
            self._send_frame(leg, group, frame, timestamp, now)
        _let_go(leg, now)

    def _send_exactly(self, leg: Leg[W], layer: Layer, before: Received | None, now: float) -> None:
        """All that is cached, as it came and has not been sent yet, up to `before`."""
        group, until = leg.spans[-1].group, leg.burst_until
        for packet in layer.pictures.packets:
            if packet.sequence <= until:
                continue
            if before is not None and packet.sequence >= before.sequence:
                break
            out = group.build(packet, 0)
            sent = leg.add_burst(packet, out, packet.timestamp, starts_frame=False)
            send_alone(self._fan_out, leg, sent, out, now)
            leg.burst_until = packet.sequence
        _let_go(leg, now)

    def recover(self, leg: Leg[W], rtt: float, patience: float, now: float) -> bool:
        """The room lost its picture: begin again from the cache. False: the cache cannot help.

        patience: seconds in which what is missing here comes, if it comes (`starving`).
        """
        layer = leg.target
        if leg.spec.exact and layer is not None:
            # Nobody else's pictures become larger for it: it waits for the beat, if there is one.
            return bool(layer.rid)
        # Until a late player shows its first picture, browsers ask five times a second for one.
        shown_after = rtt + (leg.playout or 0) / 1e3
        if layer is None or now - leg.burst_at < shown_after:
            return True  # what it asks for is under way
        if now - leg.recovered_at < max(_RECOVER_INTERVAL, 2 * rtt):
            return True
        if not leg.may_burst:
            # Too heavy for its link just now: it waits for the next keyframe, which the beat
            # brings of layers with a RID.
            return bool(layer.rid)
        if leg.group is not None and leg.group.layer is not layer:
            # It waits for a step: what it lost is of what flows, and of that it shall be.
            self._stop_waiting(leg)
            layer = leg.target = leg.group.layer
            leg.target_temporal = leg.group.max_temporal
        key = layer.pictures.first
        leaving = leg.pace.delay if leg.pace is not None else 0.0
        if leg.group is not None and key is not None and now - key.arrived < shown_after + leaving:
            return True  # one has just been sent
        if not layer.pictures.is_whole():
            # What is missing has been asked for; if it does not come, a keyframe will be. Where
            # something is missing all the time, one is asked for in the end.
            if now - leg.cried_at > patience + _CRIES:
                leg.cried_at = now
            return layer.nack.missing > 0 and now - leg.cried_at < patience
        self._leave(leg, now)
        leg.recovered_at = now
        leg.burst_layer = None
        if leg not in layer.joiners:
            layer.joiners.append(leg)
        return self._burst(leg, layer, now)


def _forget_waiting(leg: Leg[Any], *, finish: bool = True) -> None:
    """What still waits for the leg's link is of pictures that it has left; its numbers go on from
    what was sent, so that nobody asks for the rest."""
    if leg.pace is None:
        return
    following = leg.next_sequence
    waited = {
        following - (following - one.sequence16 & 0xFFFF): one
        for one in leg.pace.forget(leg, finish=finish)
    }
    # Numbers kept for what is still missing from the teacher were not sent either.
    number, unsent = following - 1, list[Waiting[Any]]()
    while len(unsent) < len(waited):
        if (one := waited.get(number)) is not None:
            unsent.append(one)
            leg.next_sequence = number
        elif leg.find(number & 0xFFFF) is not None or following - number > _BEHIND:
            break
        number -= 1
    pictures = [one.picture for one in unsent if one.picture is not None]
    if pictures and leg.last_picture is not None:
        leg.last_picture = min(pictures) - 1
        sent = leg.find(leg.next_sequence - 1 & 0xFFFF)
        if sent is not None:
            # Where temporal layers are left out the one before need not be the next lower one.
            out = sent.group.build(sent.packet, 0)
            if out.picture_offset and not sent.group.closes_gaps(out):
                leg.last_picture = out.picture + sent.picture_offset
    tl0s = [one.tl0 for one in unsent if one.tl0 is not None]
    if tl0s and leg.last_tl0 is not None:
        leg.last_tl0 = min(tl0s) - 1


def _let_go(leg: Leg[Any], now: float) -> None:
    """Whole frames wait; what may leave now does."""
    if leg.pace is not None:
        leg.pace.handle_timer(now)
        # Until all of it has left the room cannot show it, and cries on.
        leg.burst_at = now + leg.pace.delay


def _is_new_to(leg: Leg[Any], first: Received) -> bool:
    """Whether a relay was sent nothing yet of the pictures that begin with `first`: what it has
    must not come again under other numbers."""
    last = leg.last_timestamp
    return last is None or delta32(first.timestamp, last) > 0


def _begin(leg: Leg[Any], now: float) -> None:
    """The leg's pictures begin, or begin anew."""
    if leg.spec.exact or leg.pace is None or leg.pace.burst == float("inf"):
        return  # its timestamps stay, or nothing waits for its link
    if not leg.spec.has_rtx:
        return  # no browser; and what it asks for again must tell the same timestamp
    if leg.first_pictures is None:
        leg.first_pictures = FirstPictures(now)
    else:
        leg.first_pictures.begin_again(now)


def _can_begin(leg: Leg[Any], layer: Layer, packet: Received, follows: bool) -> bool:
    """Whether a leg that waits for `layer` can go on with the frame that `packet` begins."""
    info = packet.info
    group = leg.group
    if leg.target is not layer:
        return info.temporal_id == 0 and follows
    if info.temporal_id > leg.target_temporal:
        return False  # not for this leg at all; a hostile stream may call any frame a keyframe
    if info.keyframe or not layer.is_video:
        return True
    if group is None or group.layer.track is not layer.track:
        return leg.may_burst and info.temporal_id == 0 and layer.pictures.is_whole()
    if group.layer is not layer or not follows:
        return False
    if leg.target_temporal == group.max_temporal:
        return True  # only what its packets carry is to change
    if leg.target_temporal < group.max_temporal:
        return info.temporal_id == 0
    # Upwards only where the next layer leans on nothing that was left out (RFC 7741 §4.2, Y;
    # RFC 9628 §4.2, U; the descriptor's references).
    return info.layer_sync and info.temporal_id == group.max_temporal + 1


def can_decode(leg: Leg[Any], layer: Layer) -> bool:
    """Whether the leg's viewer takes the layer's codec."""
    source = _codec(layer)
    return any(can_forward(source, entry.codec) for entry in leg.spec.codecs)


def _codec(layer: Layer) -> Codec:
    track = layer.track
    source = track.codecs.get(track.red.get(layer.payload_type, layer.payload_type))
    return source if source is not None else next(iter(track.codecs.values()))


def profile_for(leg: Leg[Any], layer: Layer) -> Profile | None:
    """How the leg's viewer takes the layer, or None when it cannot decode its codec."""
    track = layer.track
    source = _codec(layer)
    # A relay tells its own rooms what it is.
    fits = compatible if leg.spec.exact else can_forward
    for entry in leg.spec.codecs:
        if fits(source, entry.codec):
            extensions = leg.spec.extensions
            return Profile(
                entry.payload_type,
                leg.spec.ssrc,
                extensions.get(rtp.TRANSPORT_CC, 0),
                passed_extensions(track.extensions, extensions) if layer.is_video else (),
                entry.red,
                entry.rtx,
                leg.red_depth if entry.red is not None else 0,
                _playout(leg, extensions),
                leg.spec.exact,
            )
    return None


def _playout(leg: Leg[Any], extensions: Mapping[str, int]) -> tuple[int, int] | None:
    identifier = extensions.get(rtp.PLAYOUT_DELAY)
    if leg.playout is None or identifier is None:
        return None
    return identifier, leg.playout
