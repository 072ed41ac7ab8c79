"""Trunks of the media process: lessons taken from a parent relay, and lessons given to children.

One session for each lesson and child. As a child: an offer, what the parent answered, what it tells
later of the lesson's layers; a trunk lives like any peer, and outages do not end it. As a parent: a
viewer whose legs are by layer (`relay.sfu.trunk_selection`), and the word for each of them. How the
two services talk is theirs (`relay.web.trunks`). Called over the Unix socket, see relay/ipc.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from classroom.clock import Clock
from classroom.errors import Refused
from relay.media.playout import FIRST, MOST_MS, needed
from relay.media.told_timeline import TakeName
from relay.sfu.group import ALL_TEMPORAL
from relay.sfu.link_loss import LinkLoss
from relay.sfu.negotiated import SlotSpec
from relay.sfu.router import Router
from relay.sfu.upstream import Told, ToldTrack, Upstream, track_specs
from relay.sfu.wants import Wants, wanted
from relay.transport import offer, sdp
from relay.transport.ice import Credentials
from relay.transport.peer import Peer
from relay.transport.sessions import Sessions
from relay.transport.trunk_peer import TrunkPeer
from relay.transport.trunk_sdp import read_answer, write_offer
from relay.transport.trunk_told import (
    STEP,
    is_other,
    key_of,
    read_tracks,
    read_wants,
    size_of,
    told_track,
)
from relay.transport.udp import SSRCS_MAX
from relay.transport.wire import Wire

# Offers that may wait for their answers; each is forgotten when so many came after it.
_OFFERS_MOST: Final = 64
# A child is told of rates that changed by half, and no oftener than this; of layers at once.
_RATES_SECONDS: Final = 5.0
# What a child wants is told when it changed, and no oftener than this.
_WANTS_SECONDS: Final = 1.0
# Each time a teacher begins anew takes two SSRCs a layer of those that one association may use.
_SSRCS_LEFT: Final = 16


@dataclass(slots=True)
class _Child:
    """A relay below: what it was told last."""

    templates: dict[str, SlotSpec]
    wants: Wants
    key: tuple[Any, ...] = ()
    rates: tuple[int, ...] = ()
    told_at: float = -1e9


@dataclass(frozen=True, slots=True)
class _Word:
    """What there is to tell of a lesson: its epoch, its layers as `ToldTrack`, and what of that
    changes at once (key) or slowly (rates)."""

    epoch: int
    tracks: list[dict[str, Any]]
    key: tuple[Any, ...]
    rates: tuple[int, ...]


@dataclass(slots=True)
class _Trunk:
    """Our end of one: what the service was told last."""

    peer: TrunkPeer
    told: dict[str, Any]
    told_at: float = -1e9
    above_ms: int = 0
    """What the parent told of links above it."""
    delay_ms: int = 0
    """How late what was lost on the way here may come."""
    loss: LinkLoss = field(default_factory=LinkLoss)
    waiting: tuple[int, list[ToldTrack]] | None = None
    """Epoch and layers, until it is connected."""


class Trunks:
    """One per media process."""

    def __init__(
        self, sessions: Sessions, clock: Clock, after_batch: Callable[[float], None]
    ) -> None:
        self.dropped = 0
        """Packets of streams that no parent told of, of trunks that have ended."""
        self._sessions = sessions
        self._clock = clock
        self._after_batch = after_batch
        self._offers: dict[str, str] = {}
        """Session → lesson, of offers without an answer."""
        self._trunks: dict[str, _Trunk] = {}
        """By session."""
        self._children: dict[str, _Child] = {}
        """By session."""

    # As a child

    def offer(self, lesson: str) -> dict[str, Any]:
        """An offer for a parent. Returns {"session", "offer"}."""
        session = secrets.token_urlsafe(16)
        self._offers[session] = lesson
        while len(self._offers) > _OFFERS_MOST:
            del self._offers[next(iter(self._offers))]
        # The other side looks at its own half of ICE's credentials alone.
        text = write_offer(
            Credentials.generate(), self._sessions.certificate.fingerprint(), secrets.randbits(62)
        )
        return {"session": session, "offer": text}

    def answer(
        self,
        lesson: str,
        session: str,
        parent: str,
        text: str,
        epoch: int,
        tracks: Sequence[Mapping[str, Any]],
        delay_ms: int = 0,
    ) -> None:
        """A parent's answer: the trunk begins, in the place of the one before. Raises Refused.

        parent: its address, for logs. tracks: as `ToldTrack`, checked by the service.
        """
        if self._offers.pop(session, None) != lesson:
            raise _gone()
        side = read_answer(text)
        sessions, now = self._sessions, self._clock()
        router = sessions.router_of(lesson, now)
        current = router.publisher
        if current is not None and not isinstance(current, Upstream):
            raise Refused(
                409,
                "lesson-taken",
                "The lesson is taught at this relay.",
                fix="Nothing to do: no other relay needs to send it here.",
                field="lesson",
            )
        peer = TrunkPeer(
            session,
            lesson,
            parent,
            router,
            side,
            sessions.certificate,
            sessions.port,
            self._clock,
            self._after_batch,
        )
        # Derived layers come from the parent, too: no relay below the root encodes anything.
        router.derived.worker = None
        told = (epoch, read_tracks(tracks))
        self._trunks[session] = _Trunk(peer, {}, above_ms=delay_ms, waiting=told)
        peer.begin = lambda: self._begin(session)
        sessions.start(peer, listens=False)
        peer.paths.start()

    def tell(
        self,
        lesson: str,
        session: str,
        epoch: int,
        tracks: Sequence[Mapping[str, Any]],
        delay_ms: int = 0,
    ) -> None:
        """What the parent says of the lesson's layers now. Raises Refused 404."""
        trunk = self._own(lesson, session)
        trunk.above_ms, peer = delay_ms, trunk.peer
        told, now = read_tracks(tracks), self._clock()
        if trunk.waiting is not None:
            trunk.waiting = (epoch, told)
            return
        upstream = peer.upstream
        if upstream is None or epoch != peer.router.epoch or is_other(upstream, told):
            self._publish(peer, epoch, told, now)
            return
        self._take(peer, upstream.tell(told, now))

    def end(self, lesson: str, session: str, reason: str) -> None:
        """Nobody needs the trunk any more."""
        self._offers.pop(session, None)
        trunk = self._trunks.get(session)
        if trunk is not None and trunk.peer.lesson == lesson:
            trunk.peer.end(reason)

    def _own(self, lesson: str, session: str) -> _Trunk:
        trunk = self._trunks.get(session)
        if trunk is None or trunk.peer.lesson != lesson or trunk.peer.ended.is_set():
            raise _gone()
        return trunk

    def _begin(self, session: str) -> None:
        """The trunk is there: it takes the place of the one before, which served until now."""
        trunk = self._trunks.get(session)
        if trunk is None or trunk.waiting is None:
            return
        (epoch, told), trunk.waiting = trunk.waiting, None
        lesson = trunk.peer.lesson
        current = trunk.peer.router.publisher
        if current is not None and not isinstance(current, Upstream):
            # Since the answer, seconds ago over a weak link, somebody began to teach here.
            trunk.peer.end("the lesson is taught at this relay")
            return
        before = [one.peer for one in self._trunks.values() if one.peer.lesson == lesson]
        self._publish(trunk.peer, epoch, told, self._clock())
        for one in before:
            if one is not trunk.peer:
                one.end("replaced by a newer trunk")

    def _publish(self, peer: TrunkPeer, epoch: int, told: Sequence[ToldTrack], now: float) -> None:
        """The teacher began (anew), or the trunk did: rooms stay, and go on with what comes."""
        router, before = peer.router, peer.upstream
        upstream = router.publish(
            peer.identity, peer.subject, track_specs(told), now, kind=Upstream
        )
        assert isinstance(upstream, Upstream), "as asked for"
        router.epoch = epoch
        peer.upstream = upstream
        if before is not None:
            upstream.strangers, upstream.rtt = before.strangers, before.rtt
            upstream.upstream_clock = before.upstream_clock
        if peer.wire is not None:
            router.connect_publisher(peer.identity, peer.wire)
        self._take(peer, upstream.tell(told, now))

    def _take(self, peer: TrunkPeer, told: Told) -> None:
        for layer, anchor in told.anchors:
            self._sessions.feed.anchor(layer, anchor)
        for data, at in told.packets:
            peer.receive_rtp(data, at)
        self._after_batch(self._clock())

    # As a parent

    def accept(
        self, lesson: str, subject: str, text: str, wants: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A child's offer. Returns {"session", "answer", "epoch", "tracks"}. Raises Refused."""
        sessions, now = self._sessions, self._clock()
        description = sdp.parse(text)
        accepted = offer.accept_viewer(description, lesson)
        remote = offer.remote_side(description)
        self._require_place()
        router = sessions.router_of(lesson, now)
        peer, answer = sessions.new_peer(
            "relay", lesson, subject, router, remote, accepted, description.bundle, now
        )
        slots = [one.slot for one in accepted if one.slot is not None]
        templates = {slot.slot: replace(slot, exact=True) for slot in slots}
        child = _Child(templates, read_wants(wants))
        self._children[peer.identity] = child
        sessions.start(peer)
        word = self._word(router, now)
        self._note(child, word, now)
        return {
            "session": peer.identity,
            "answer": answer,
            "epoch": word.epoch,
            "tracks": word.tracks,
            "delay_ms": self._delay(lesson),
        }

    def _require_place(self) -> None:
        relays = sum(peer.role == "relay" for peer in self._sessions.peers.values())
        if relays >= self._sessions.limits.viewers_max:
            raise Refused(
                503,
                "relay-full",
                f"This relay already serves {relays} trunks.",
                fix="Use another relay, or raise viewers_max if the machine can take it.",
            )

    def want(self, lesson: str, session: str, subject: str, wants: Mapping[str, Any]) -> None:
        """What a child's rooms can use now. Raises Refused 404, 403."""
        peer = self._sessions.find(lesson, session, "relay", subject)
        child = self._children[peer.identity]
        child.wants = read_wants(wants)
        # It may be on a new line, over which it was told nothing yet.
        child.key = ()
        if peer.viewer is not None:
            peer.viewer.wants = child.wants
            peer.viewer.next_allocation = self._clock()

    def connected(self, peer: Peer) -> None:
        """A child's transport is ready."""
        child, viewer, now = self._children.get(peer.identity), peer.viewer, self._clock()
        if child is None or viewer is None:
            return
        viewer.wants, viewer.templates = child.wants, child.templates
        for one in self._sessions.peers.values():
            former = (one.role, one.lesson, one.subject) == (peer.role, peer.lesson, peer.subject)
            if former and one is not peer and one.created_at <= peer.created_at:
                one.end("replaced by a newer trunk of the same relay")
        # Whatever is asked for and still cached is of use: it is recorded there.
        viewer.repairs.delay = CACHE_DELAY
        peer.router.pause_viewer(peer.identity, now)
        peer.router.resume_viewer(peer.identity, now)

    # What the service is told

    def due(self) -> list[tuple[str, dict[str, Any]]]:
        """Notices to send now, name and content. Call a few times a second."""
        now = self._clock()
        notices: list[tuple[str, dict[str, Any]]] = []
        peers = self._sessions.peers
        words: dict[str, _Word] = {}
        for session, child in list(self._children.items()):
            peer = peers.get(session)
            if peer is None:
                del self._children[session]
                continue
            # Worked out once for all children of a lesson.
            word = words.get(peer.lesson) or self._word(peer.router, now)
            words[peer.lesson] = word
            if self._note(child, word, now):
                notices.append(
                    (
                        "trunk-tracks",
                        {
                            "lesson": peer.lesson,
                            "session": session,
                            "subject": peer.subject,
                            "epoch": word.epoch,
                            "tracks": word.tracks,
                            "delay_ms": self._delay(peer.lesson),
                        },
                    )
                )
        for session, trunk in list(self._trunks.items()):
            if session not in peers:
                del self._trunks[session]
                if trunk.peer.upstream is not None:
                    self.dropped += trunk.peer.upstream.strangers.dropped
            if trunk.peer.wire is not None and len(trunk.peer.wire.heard) > SSRCS_MAX - _SSRCS_LEFT:
                trunk.peer.end("its streams were used up")
            self._watch(trunk, now)
            told = self._state(trunk.peer, now, ended=session not in peers)
            if told != trunk.told and (now - trunk.told_at >= _WANTS_SECONDS or "reason" in told):
                trunk.told, trunk.told_at = told, now
                notices.append(("trunk", told))
        return notices

    def _word(self, router: Router[Wire], now: float) -> _Word:
        publisher, lesson = router.publisher, router.lesson
        take = TakeName(self._sessions.feed.name, router.epoch)
        layers = publisher.layers if publisher is not None else []
        layers = [layer for layer in layers if layer.payload_type >= 0]
        for layer in layers:
            # Rooms below begin on this timeline: it is not corrected any more.
            layer.slot_offset_exact = True
        tracks = [asdict(told_track(lesson, layer, take, now)) for layer in layers]
        key = (router.epoch, *(key_of(track) for track in tracks))
        rates = tuple(size_of(track["bitrate"]) for track in tracks)
        return _Word(router.epoch, tracks, key, rates)

    @staticmethod
    def _note(child: _Child, word: _Word, now: float) -> bool:
        """Whether the child is to be told; then it counts as told."""
        is_same = word.key == child.key
        if is_same and (word.rates == child.rates or now - child.told_at < _RATES_SECONDS):
            return False
        child.key, child.rates, child.told_at = word.key, word.rates, now
        return True

    def _delay(self, lesson: str) -> int:
        """How late packets may be here that links above lost, milliseconds."""
        return max(
            (one.delay_ms for one in self._trunks.values() if one.peer.lesson == lesson), default=0
        )

    def _watch(self, trunk: _Trunk, now: float) -> None:
        """Rooms here wait for what the trunk has to mend."""
        peer, trip = trunk.peer, trunk.peer.client.rtt
        if peer.upstream is None or trip is None:
            return
        loss = trunk.loss.update(peer.upstream.layers, now)
        own = round(1e3 * needed(trip, 0.0, loss)) if loss > FIRST else 0
        trunk.delay_ms = min(max(own, trunk.above_ms), MOST_MS)
        for viewer in peer.router.viewers.values():
            viewer.upstream_ms = trunk.delay_ms

    def _state(self, peer: TrunkPeer, now: float, *, ended: bool) -> dict[str, Any]:
        client = peer.client
        state = "connecting" if peer.wire is None else "live"
        if peer.wire is not None and client.is_broken:
            state = "broken"
        told: dict[str, Any] = {
            "lesson": peer.lesson,
            "session": peer.identity,
            "state": "ended" if ended else state,
            "wants": self._wanted(peer, now),
            "over_tcp": peer.paths.over_tcp,
        }
        if ended:
            told["reason"] = peer.reason
        return told

    def _wanted(self, peer: TrunkPeer, now: float) -> dict[str, Any]:
        """What all who watch here can use of what the parent has."""
        if peer.upstream is None:
            return {"layers": {}, "lowest": None}
        ladders: dict[str, list[tuple[int, float]]] = {}
        flowing = {layer.ssrc: layer for layer in peer.upstream.layers}
        for one in sorted(peer.upstream.told.values(), key=lambda one: one.index):
            layer = flowing.get(one.ssrc)
            rate = layer.rate.rate(ALL_TEMPORAL, now) if layer is not None else 0.0
            # While it comes, what it takes is seen here; until then the parent's word is all.
            if layer is not None and not layer.rate.is_active(now):
                rate = 0.0
            if (rate or one.bitrate) > 0.0:
                ladders.setdefault(one.source, []).append((one.index, rate or one.bitrate))
        found = wanted(peer.router.viewers.values(), ladders)
        # Told in steps, or every feedback would be news.
        lowest = None if found.lowest is None else STEP ** size_of(found.lowest)
        return {
            "layers": {source: list(places) for source, places in found.layers.items()},
            "lowest": lowest,
        }

    def statistics(self) -> list[dict[str, Any]]:
        """Each trunk to a parent, for pages and metrics. Seconds, counts, shares."""
        now = self._clock()
        found = []
        for trunk in self._trunks.values():
            peer, client = trunk.peer, trunk.peer.client
            found.append(
                {
                    "lesson": peer.lesson,
                    "parent": peer.subject,
                    "state": self._state(peer, now, ended=False)["state"],
                    "round_trip": client.rtt,
                    "loss": trunk.loss.loss,
                    "breaks": client.restarts,
                    "over_tcp": peer.paths.over_tcp,
                    "strangers": peer.upstream.unknown if peer.upstream is not None else 0,
                }
            )
        return found


CACHE_DELAY: Final = 4.0
"""Seconds that a layer's packets can be sent again for, see `relay.sfu.layer`."""


def _gone() -> Refused:
    return Refused(
        404,
        "session-gone",
        "This trunk does not exist (any more).",
        fix="Begin a new one.",
        field="session",
    )
