"""Publishing over WHIP: one session at a time, made again when the relay goes away.

Lives here: the RTCPeerConnection that sends, when a session counts as lost, and the waits between
sessions. Must not live here: HTTP (`whip`), what is sent (`outlet`), where it comes from
(`sources`).

The offer holds voice, camera, screen in this order, send-only, one codec each. Of aiortc and
aioice two underscored or module-level names are used, `RTCRtpSender._send_keyframe` and
`aioice.ice.get_host_addresses`, and a third in `punctual`; a contract test watches over them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import aiohttp
import aioice.ice
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.stats import RTCTransportStats
from yarl import URL

from classroom.clock import monotonic
from classroom.errors import Absent, Misuse, Refused
from classroom.host.outlet import Outlet, PacketTrack
from classroom.host.punctual import make_punctual
from classroom.host.sources import Source
from classroom.host.whip import Place, client, delete_session, post_offer

log = logging.getLogger(__name__)

CONNECT_S: Final = 15.0  # ICE and DTLS over a link with 800 ms round trips need about 5 s
SILENCE_S: Final = 6.0  # a relay reports at least each second or so; ICE alone would take 30 s
WATCH_S: Final = 0.5
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MOST_S: Final = 8.0
FINAL_STATUSES: Final = frozenset({400, 401, 403, 405, 406, 410, 413, 415, 422})
FINAL_CODES: Final = frozenset({"lesson-ended"})  # 409 too, where "lesson-taken" may be freed
NOT_FOUND_TRIES: Final = 10  # a lesson made this very second may reach the relay a moment later
H264_FMTP: Final = "42e01f"  # constrained baseline, what our encoder makes

_MIME: Final = {"opus": "audio/opus", "h264": "video/h264", "vp8": "video/vp8"}


class Publisher:
    """Keeps one lesson published until its sources end or `stop` is set."""

    def __init__(self, sources: list[Source], locate: Callable[[], Awaitable[Place]]) -> None:
        """`locate` is asked before each session, so that a token can be fresh."""
        self._sources = sources
        self._locate = locate
        self.sessions = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Publish.

        Raises Refused when the relay says no for good, Misuse when a source cannot be read on, and
        whatever else ended a source's thread.
        """
        backoff = BACKOFF_FIRST_S
        not_found = 0
        while not stop.is_set() and not self._ended():
            try:
                await self._session(stop)
                backoff, not_found = BACKOFF_FIRST_S, 0
            except Refused as error:
                not_found += error.status == 404
                final = error.status in FINAL_STATUSES or error.code in FINAL_CODES
                if final or not_found > NOT_FOUND_TRIES:
                    raise
                log.warning("host.waiting reason=%s %s", error.detail, error.fix)
            except Absent as error:
                log.warning("host.waiting reason=%s %s", error.what, error.fix)
            if stop.is_set() or self._ended():
                break
            # Spread over half to all of the wait: many hosts of one relay must not come at once.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff * random.uniform(0.5, 1.0)):
                    await stop.wait()
            backoff = min(2 * backoff, BACKOFF_MOST_S)
        for source in self._sources:
            if source.error is not None:
                raise source.error

    def _ended(self) -> bool:
        return all(source.ended for source in self._sources)

    async def _session(self, stop: asyncio.Event) -> None:
        """One WHIP session from POST to DELETE; returns when it was good and is over."""
        place = await self._place()
        async with client() as http:
            peer = RTCPeerConnection(RTCConfiguration([], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
            resource: URL | None = None
            began = monotonic()
            reason = "failed"
            try:
                resource = await self._negotiate(peer, http, place)
                await _connected(peer, stop)
                if stop.is_set():
                    reason = "stopped"
                    return
                self.sessions += 1
                log.info("host.on-air whip=%s session=%d", place.url, self.sessions)
                reason = await self._watch(peer, stop)
            finally:
                await _close(peer)
                if resource is not None:
                    await delete_session(http, resource, place)
                    log.info("host.off-air reason=%s seconds=%.1f", reason, monotonic() - began)

    async def _place(self) -> Place:
        try:
            return await self._locate()
        except Misuse as error:
            if not self.sessions:
                raise
            # It was right before: whatever stands in the way now (a network's own login page) is
            # no reason to end a lesson.
            raise Absent(str(error), fix="Trying again until it answers.") from error

    async def _negotiate(
        self, peer: RTCPeerConnection, http: aiohttp.ClientSession, place: Place
    ) -> URL:
        for source in self._sources:
            source.timeline.restart()
        for outlet, source in self._ordered():
            track = PacketTrack(outlet, source.timeline)
            transceiver = peer.addTransceiver(track, direction="sendonly")
            capabilities = RTCRtpSender.getCapabilities(outlet.kind).codecs
            transceiver.setCodecPreferences(
                [
                    codec
                    for codec in capabilities
                    if codec.mimeType.lower() in (_MIME[outlet.codec], "video/rtx")
                    and codec.parameters.get("profile-level-id", H264_FMTP) == H264_FMTP
                ]
            )
            make_punctual(transceiver.sender)
            # The picture loss indications that aiortc reads must reach our own encoder.
            setattr(transceiver.sender, "_send_keyframe", _asking(outlet))  # noqa: B010 a method, for mypy not assignable
            outlet.request_keyframe()
        with _loopback_candidates(URL(place.url).host or ""):
            await peer.setLocalDescription(await peer.createOffer())
        answer, resource = await post_offer(http, place, peer.localDescription.sdp)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(spread(answer), "answer"))
        except Exception as error:
            # Foreign text in aiortc's parser, which raises whatever it trips over.
            await delete_session(http, resource, place)
            raise Absent(
                f"The answer of {place.url} could not be understood ({error}).",
                fix="Check that this address is a WHIP endpoint.",
            ) from error
        return resource

    def _ordered(self) -> list[tuple[Outlet, Source]]:
        order = ("voice", "camera", "screen")
        pairs = [(outlet, source) for source in self._sources for outlet in source.outlets]
        return sorted(pairs, key=lambda pair: order.index(pair[0].name))

    async def _watch(self, peer: RTCPeerConnection, stop: asyncio.Event) -> str:
        """Wait until the session is over; returns why."""
        heard, heard_at = 0, monotonic()
        at_start: int | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await stop.wait()
            if stop.is_set():
                return "stopped"
            if self._ended():
                return "source-ended"
            if peer.connectionState in ("failed", "closed", "disconnected"):
                return "connection-lost"
            received = await _bytes_received(peer)
            at_start = received if at_start is None else at_start
            if received != heard:
                heard, heard_at = received, monotonic()
            # A relay that never reports cannot be judged by its silence.
            if heard > at_start and monotonic() - heard_at > SILENCE_S:
                return "relay-silent"


def _asking(outlet: Outlet) -> Callable[[], None]:
    """Ask whom the outlet names now: a camera that came back may have another encoder."""
    return lambda: outlet.request_keyframe()


def spread(answer: str) -> str:
    """`answer` with the candidates of its first section in every section.

    A bundled answer has them once (RFC 8843 7.1.3), but aiortc believes the last section.
    """
    session, *sections = re.split(r"^(?=m=)", answer, flags=re.MULTILINE)
    if not sections:
        return answer
    lines = re.findall(r"^a=(?:candidate:|end-of-candidates).*\r?\n", sections[0], re.MULTILINE)
    rest = [
        section if "a=candidate:" in section else section + "".join(lines)
        for section in sections[1:]
    ]
    return session + sections[0] + "".join(rest)


async def _connected(peer: RTCPeerConnection, stop: asyncio.Event) -> None:
    deadline = monotonic() + CONNECT_S
    while peer.connectionState != "connected" and not stop.is_set():
        if peer.connectionState in ("failed", "closed") or monotonic() > deadline:
            raise Absent(
                "The relay accepted the lesson, but no media connection came about.",
                fix="Check that its UDP port is open in the firewall.",
            )
        await asyncio.sleep(0.02)


async def _bytes_received(peer: RTCPeerConnection) -> int:
    """Bytes that came over DTLS and SRTP, which on a publisher are the relay's RTCP reports."""
    total = 0
    for sender in peer.getSenders():
        report = await sender.getStats()
        for entry in report.values():
            if isinstance(entry, RTCTransportStats):
                total = max(total, entry.bytesReceived)
    return total


async def _close(peer: RTCPeerConnection) -> None:
    """Close `peer`; a relay that vanished must not hold us up."""
    try:
        async with asyncio.timeout(3.0):
            await peer.close()
    except TimeoutError:
        # Its farewell may stay unsaid, but its sockets must not stay open.
        for transceiver in peer.getTransceivers():
            await transceiver.sender.transport.transport.stop()


def unless_closed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's exception handler for who publishes: what was closed may say so.

    A peer that is closed while it connects ends aiortc's own task for that with an
    InvalidStateError, which nobody can await.
    """
    if isinstance(context.get("exception"), InvalidStateError):
        log.debug("host.closed-while-connecting")
    else:
        loop.default_exception_handler(context)


@contextlib.contextmanager
def _loopback_candidates(host: str) -> Iterator[None]:
    """Let aioice offer 127.0.0.1 when the relay is on this machine and there is no network.

    It leaves loopback out, so a machine that is offline could not publish to itself.
    """
    if not _is_loopback(host):
        yield
        return
    gather = aioice.ice.get_host_addresses

    def with_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        # Only in want of others: from 127.0.0.1 the kernel sends to no other address, and aioice
        # would wait for that first pair before it tries the next.
        return gather(use_ipv4, use_ipv6) or ["127.0.0.1"]

    aioice.ice.get_host_addresses = with_loopback
    try:
        yield
    finally:
        aioice.ice.get_host_addresses = gather


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
