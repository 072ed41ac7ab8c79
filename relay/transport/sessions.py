"""All sessions of the media process: WHIP and WHEP offers in, answers out, peers' lives.

One owner for routers, peers and their tasks: a peer's failure is caught at its edge and becomes
the reason it ended, so a lesson outlives any room's link. What is refused is refused here, with
the status that the HTTP side passes on (RFC 9725). Methods are called over the Unix socket by the
service process; see relay/ipc.py.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from classroom.clock import Clock
from classroom.errors import Refused
from relay.sfu.derived import Worker
from relay.sfu.negotiated import VOICE
from relay.sfu.router import Router
from relay.sfu.rungs import first_rung
from relay.sfu.viewer import Viewer
from relay.transport import behind, offer, places, sdp
from relay.transport.answer import Local, tagged, write_answer
from relay.transport.dtls import HandshakeFailed, SharedCertificate
from relay.transport.etags import etag_of, matches, stale
from relay.transport.fanout import NativeFanOut
from relay.transport.ice import Credentials, IceSession
from relay.transport.peer import Peer
from relay.transport.recorder_feed import RecorderFeed
from relay.transport.remembered import RememberedRates
from relay.transport.trickle import read_fragment, write_fragment
from relay.transport.udp import UdpPort
from relay.transport.wire import Wire

_log: Final = logging.getLogger("relay.media")

# How often consents and lifetimes are looked at.
SWEEP_SECONDS: Final = 1.0
# Teachers' former sessions that are remembered, so that their pages learn what became of them.
REPLACED_KEPT: Final = 1_000
RECEIVING: Final = ("viewer", "relay")  # roles of peers that media is sent to
# Teachers' sessions at once: lessons a relay could never forward all, so it is a bound on memory.
PUBLISHERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """viewers_max: sessions of rooms. session_seconds: a session's life without consent.

    connect_seconds: from POST to the end of DTLS; three lost flights at 800 ms RTT, each with
    OpenSSL's doubling timer, are over in half a minute.
    """

    viewers_max: int = 1_000
    session_seconds: float = 900.0
    beat: float = 8.0
    start_bitrate: float = 60_000.0
    connect_seconds: float = 45.0


class Sessions:
    """Owns every router and peer. Create inside a running loop; run `run` as a task."""

    def __init__(
        self,
        port: UdpPort,
        fan_out: NativeFanOut,
        feed: RecorderFeed,
        clock: Clock,
        limits: Limits,
        addresses: Sequence[str],
        changed: Callable[[str], None],
    ) -> None:
        """addresses: IP addresses to announce. changed(lesson): something to report."""
        self.routers: dict[str, Router[Wire]] = {}
        self.peers: dict[str, Peer] = {}
        self.handshakes_failed = 0
        self.tcp_port = 0
        """Of ICE over TCP, once somebody listens there; 0 for none."""
        self.port = port
        self._fan_out = fan_out
        self.feed = feed
        self._clock = clock
        self.limits = limits
        self._remembered = RememberedRates(limits.start_bitrate)
        self._repairs: Counter[str] = Counter()
        """Of viewers that have gone."""
        self._addresses = tuple(addresses)
        self._changed = changed
        self.certificate: SharedCertificate = SharedCertificate.generateCertificate()
        self._tasks: asyncio.TaskGroup | None = None
        self._replaced: deque[str] = deque(maxlen=REPLACED_KEPT)
        # Lessons of which media was seen: their routers count epochs for the recording.
        self._begun: set[str] = set()
        self.relay_connected: Callable[[Peer], None] = lambda peer: None
        """Called for each viewer whose transport is ready."""
        self.worker: Worker | None = None
        """Derives layers for all lessons; set it before the first offer."""

    async def run(self) -> None:
        """Watch consents and lifetimes; owns the peers' tasks. Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                self.sweep(self._clock())

    def sweep(self, now: float) -> None:
        """Pause viewers without consent, end sessions whose life is over."""
        for peer in list(self.peers.values()):
            if peer.wire is None:
                continue
            if peer.viewer is not None and peer.wire.stream is not None:
                peer.wire.stream.rate = peer.viewer.bandwidth.bitrate
            if peer.ice.has_consent(now):
                continue
            if peer.viewer is not None and peer.viewer.running:
                peer.router.pause_viewer(peer.identity, now)
                self._changed(peer.lesson)
            last = peer.ice.last_check
            publisher = peer.router.publisher
            if publisher is not None and publisher.identity == peer.identity and last is not None:
                # Some encoders never check again once they are connected; what they send is
                # authenticated and as good a sign.
                last = max(last, publisher.last_packet)
            if last is not None and now - last > self.limits.session_seconds:
                peer.end("no sign of life")

    # Offers

    def publish(self, lesson: str, subject: str, text: str) -> dict[str, Any]:
        """A WHIP offer. Returns {"session", "answer", "etag"}. Raises Refused."""
        now = self._clock()
        description = sdp.parse(text)
        accepted = offer.accept_publisher(description)
        remote = offer.remote_side(description)
        known = self.routers.get(lesson)
        current = known.publisher if known is not None else None
        if (
            known is not None
            and current is not None
            and current.subject != subject
            and places.is_held(known, self.peers.get(current.identity), now)
        ):
            raise Refused(
                409,
                "lesson-taken",
                "Another teacher is live in this lesson.",
                fix="Ask them to stop first, or start a lesson of your own.",
                field="lesson",
            )
        publishers = sum(peer.role == "publisher" for peer in self.peers.values())
        if current is None and publishers >= PUBLISHERS_MAX:
            raise Refused(
                503,
                "relay-full",
                f"This relay already serves {publishers} teachers.",
                fix="Use another relay.",
            )
        router = self.router_of(lesson, now)
        if current is not None:
            former = self.peers.get(current.identity)
            self._unpublish(router, "replaced", now)
            self._replaced.append(current.identity)
            if former is not None:
                former.end("replaced by a newer session of the same teacher")
        peer, answer = self.new_peer(
            "publisher", lesson, subject, router, remote, accepted, description.bundle, now
        )
        peer.tracks = tuple(one.track for one in accepted if one.track is not None)
        router.publish(peer.identity, subject, peer.tracks, now)
        self.start(peer)
        return {
            "session": peer.identity,
            "answer": answer,
            "etag": etag_of(peer.identity, peer.etag),
        }

    def watch(self, lesson: str, subject: str, text: str) -> dict[str, Any]:
        """A WHEP offer. Returns {"session", "answer", "etag"}. Raises Refused."""
        now = self._clock()
        description = sdp.parse(text)
        accepted = offer.accept_viewer(description, lesson)
        remote = offer.remote_side(description)
        places.make_room(self.peers.values(), subject, self.limits.viewers_max, now)
        places.quieten(self.peers.values(), subject, now)
        viewers = len(places.taken(self.peers.values()))
        if viewers >= self.limits.viewers_max:
            raise Refused(
                503,
                "relay-full",
                f"This relay already serves {viewers} rooms.",
                fix="Use another relay, or raise viewers_max if the machine can take it.",
            )
        router = self.router_of(lesson, now)
        peer, answer = self.new_peer(
            "viewer", lesson, subject, router, remote, accepted, description.bundle, now
        )
        peer.slots = tuple(one.slot for one in accepted if one.slot is not None)
        # Made while it connects, which takes some round trips: the voice that its link may need,
        # and a still picture to look at until pictures move.
        start = self._remembered.start(subject, now)
        router.derived.expect(start, now)
        if any(source != VOICE for source in router.sources(now)):
            peer.expects = first_rung(start)
        self.start(peer)
        return {
            "session": peer.identity,
            "answer": answer,
            "etag": etag_of(peer.identity, peer.etag),
        }

    def router_of(self, lesson: str, now: float) -> Router[Wire]:
        """The lesson's router, made when it does not exist."""
        router = self.routers.get(lesson)
        if router is None:
            router = Router(lesson, self._fan_out, self.feed, beat=self.limits.beat, now=now)
            router.derived.worker = self.worker
            self.routers[lesson] = router
        return router

    def new_peer(
        self,
        role: str,
        lesson: str,
        subject: str,
        router: Router[Wire],
        remote: offer.Remote,
        accepted: list[offer.Accepted],
        bundle: list[str],
        now: float,
    ) -> tuple[Peer, str]:
        """A peer from what an offer and its answer settled, and the answer's text; then `start`."""
        ice = IceSession(Credentials.generate(), remote.credentials)
        # 128 random bits: the resource's address is not to be guessed (RFC 9725 §5).
        identity = secrets.token_urlsafe(16)
        peer = Peer(
            identity,
            role,
            lesson,
            subject,
            router,
            ice,
            remote,
            self.certificate,
            self.port,
            now,
        )
        group = tagged(accepted, bundle)
        first = next(
            one.section
            for one in accepted
            if one.codecs and (not group or one.section.mid == group[0])
        )
        peer.tag = (first.kind, first.mid)
        local = Local(
            ice.local,
            self.certificate.fingerprint(),
            self._addresses,
            self.port.port,
            not remote.active,
            self.tcp_port,
        )
        answer = write_answer(accepted, bundle, local, secrets.randbits(62), lesson)
        return peer, answer

    def start(self, peer: Peer, *, listens: bool = True) -> None:
        """A peer's life begins. listens: whether it comes to the relay's own port."""
        assert self._tasks is not None, "run() first"
        self.peers[peer.identity] = peer
        if listens:
            self.port.add_peer(peer)
        self._tasks.create_task(self._live(peer), name=f"peer {peer.identity}")

    async def _live(self, peer: Peer) -> None:
        """A peer's whole life; never raises but when cancelled."""
        connecting = asyncio.ensure_future(peer.connect(self.limits.connect_seconds))
        ending = asyncio.ensure_future(peer.ended.wait())
        try:
            await asyncio.wait((connecting, ending), return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                try:
                    connecting.result()
                    self._connected(peer)
                    await ending
                except TimeoutError:
                    peer.reason = "never connected"
                except HandshakeFailed as error:
                    self.handshakes_failed += 1
                    peer.reason = str(error)
        except Exception:
            # The peer's edge: a bug met by one peer must not end the lesson of all others.
            _log.exception("session-failed", extra={"session": peer.identity[:8]})
            peer.reason = "internal error"
        finally:
            connecting.cancel()
            ending.cancel()
            # Also takes what either may have failed with while the other ended the session.
            await asyncio.gather(connecting, ending, return_exceptions=True)
            await self._gone(peer)

    def _connected(self, peer: Peer) -> None:
        now = self._clock()
        assert peer.wire is not None
        peer.connected_at = now
        if peer.role in RECEIVING:
            peer.wire.begin_log(self._fan_out.logs)
            peer.viewer = peer.router.add_viewer(
                peer.identity,
                peer.slots,
                peer.wire,
                now,
                self._remembered.start(peer.subject, now),
            )
            behind.follow(peer, now)
            self.relay_connected(peer)
        else:
            peer.router.connect_publisher(peer.identity, peer.wire)
        self._changed(peer.lesson)
        _log.info(
            "session-begins",
            extra={
                "session": peer.identity[:8],
                "role": peer.role,
                "lesson": peer.lesson,
                "subject": peer.subject,
                "connected_after_s": round(now - peer.created_at, 3),
            },
        )

    async def _gone(self, peer: Peer) -> None:
        now = self._clock()
        self.peers.pop(peer.identity, None)
        self.port.remove_peer(peer)
        if peer.role in RECEIVING:
            viewer = peer.viewer
            if viewer is not None:
                self._repairs.update(viewer.counts())
                self._remember(peer.subject, viewer, now)
            peer.router.remove_viewer(peer.identity, now)
        else:
            current = peer.router.publisher
            if current is not None and current.identity == peer.identity:
                self._unpublish(peer.router, peer.reason or "stopped", now)
        sent = peer.wire.end_log() if peer.wire is not None else 0
        self._forget_unused(peer.lesson)
        await peer.close()
        self._changed(peer.lesson)
        _log.info(
            "session-ends",
            extra={
                "session": peer.identity[:8],
                "role": peer.role,
                "lesson": peer.lesson,
                "reason": peer.reason or "shutdown",
                "duration_s": round(now - peer.created_at, 1),
                "packets_sent": sent,
                "moves": peer.moves,
            },
        )

    def _unpublish(self, router: Router[Wire], reason: str, now: float) -> None:
        """Take the publisher off; what it was recorded as is remembered."""
        if router.publisher is not None and router.publisher.layers:
            self._begun.add(router.lesson)
        router.unpublish(reason, now)

    def _forget_unused(self, lesson: str) -> None:
        """A router that nobody uses and that never had media leaves no trace."""
        router = self.routers.get(lesson)
        if router is None or lesson in self._begun or router.publisher is not None:
            return
        if not any(peer.lesson == lesson for peer in self.peers.values()):
            del self.routers[lesson]

    # Sessions as resources

    def find(self, lesson: str, session: str, role: str, subject: str) -> Peer:
        """The session, or Refused 404 (gone, or never was), 403 (somebody else's), 409 (another
        page of the same teacher teaches now: two that both came back would never let go)."""
        if role == "publisher" and session in self._replaced:
            raise Refused(
                409,
                "session-replaced",
                "The lesson is taught from another page or device now.",
                fix="Go on there, or begin a new session here to take the lesson back.",
                field="lesson",
            )
        peer = self.peers.get(session)
        if peer is None or peer.lesson != lesson or peer.role != role or peer.ended.is_set():
            raise Refused(
                404,
                "session-gone",
                "This session does not exist (any more).",
                fix="Begin a new one with POST; pages do so by themselves.",
                field="session",
            )
        if peer.subject != subject:
            raise Refused(
                403,
                "not-your-session",
                "This session belongs to somebody else.",
                fix="Use the token that made the session.",
                field="session",
            )
        return peer

    def patch(
        self, lesson: str, session: str, role: str, subject: str, text: str, etag: str | None
    ) -> dict[str, Any]:
        """Trickle ICE or ICE restart (RFC 8840, RFC 9725 §4.3).

        Returns {"fragment": None} for trickle: a lite agent needs no candidates; for a restart
        {"fragment": text, "etag": new}. Raises Refused 404, 412, 400.
        """
        peer = self.find(lesson, session, role, subject)
        credentials = read_fragment(text)
        # RFC 9725 §4.3.1 wants If-Match on every PATCH; clients that leave it out are common, and
        # for them the credentials in the fragment say which ICE session they mean.
        if etag is not None and not matches(etag, etag_of(peer.identity, peer.etag)):
            raise stale()
        if credentials is None or credentials == peer.ice.remote:
            return {"fragment": None, "etag": etag_of(peer.identity, peer.etag)}
        if credentials == peer.ice.former_remote:
            # A candidate that was trickled before the restart and came after it.
            raise stale()
        local = self.port.ice.restart(peer.ice, credentials)
        peer.etag += 1
        fragment = write_fragment(
            Local(local, "", self._addresses, self.port.port, False, self.tcp_port), *peer.tag
        )
        return {"fragment": fragment, "etag": etag_of(peer.identity, peer.etag)}

    def delete(self, lesson: str, session: str, role: str, subject: str) -> None:
        """End the session at once."""
        peer = self.find(lesson, session, role, subject)
        if peer.role == "publisher":
            current = peer.router.publisher
            if current is not None and current.identity == peer.identity:
                self._unpublish(peer.router, "stopped by the teacher", self._clock())
        peer.end("stopped by its owner")

    def end_lesson(self, lesson: str) -> None:
        """The lesson is over: everyone's session ends, the recording is finished."""
        router = self.routers.pop(lesson, None)
        self._begun.discard(lesson)
        if router is not None:
            router.unpublish("the lesson ended", self._clock())
        for peer in self.peers.values():
            if peer.lesson == lesson:
                peer.end("the lesson ended")
        self.feed.end_lesson(lesson)

    def _remember(self, subject: str, viewer: Viewer[Wire], now: float) -> None:
        if viewer.has_transport_feedback:
            estimate = viewer.bandwidth
            limited = not estimate.is_satisfied
            self._remembered.note(subject, estimate.bitrate, now, limited=limited)

    def rates(self) -> dict[str, tuple[float, float]]:
        """What rooms' links took, those of rooms that are here included: see RememberedRates."""
        now = self._clock()
        for peer in self.peers.values():
            viewer = peer.viewer
            if viewer is not None and viewer.running and not viewer.is_starting(now):
                self._remember(peer.subject, viewer, now)
        return self._remembered.known()

    def recall(self, rates: Mapping[str, Sequence[float]]) -> None:
        """Rates that a process before this one knew."""
        self._remembered.recall(rates, self._clock())

    def repairs(self) -> dict[str, int]:
        """What all viewers asked for again, by what became of it, and what was odd, since start."""
        total = Counter(self._repairs)
        for peer in self.peers.values():
            if peer.viewer is not None:
                total.update(peer.viewer.counts())
        return dict(total)

    def status(self, lesson: str) -> dict[str, Any]:
        """What the service tells others about a lesson."""
        now = self._clock()
        router = self.routers.get(lesson)
        watching = [
            peer.role
            for peer in self.peers.values()
            if peer.lesson == lesson and peer.viewer is not None and peer.viewer.running
        ]
        return {
            "lesson": lesson,
            "publishing": router is not None and router.is_publishing(now),
            "sources": router.sources(now) if router is not None else [],
            "rooms": watching.count("viewer"),
            "relays": watching.count("relay"),
        }
