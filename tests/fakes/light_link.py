"""One real DTLS-SRTP association over a UDP socket, light enough for hundreds in one process.

Lives here: the HTTP POST and DELETE, ICE as the controlling side of a lite peer (RFC 8445), its
consent checks (RFC 7675), the DTLS handshake by aiortc, SRTP both ways. Must not live here: what
the packets mean (`peer`). One socket, one reader callback and one timer per link; no threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import pylibsrtp
from aioice import stun
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
)
from yarl import URL

from classroom.clock import monotonic
from relay.transport.native import ffi, libc, new_buffer
from tests.fakes.light_sdp import Answer, Media, offer, read_answer

CHECK_REPEAT_S: Final = 0.05  # until the first answer; a browser's pace is 50 ms too
CONSENT_S: Final = 2.5  # a browser checks a working pair at about this pace
EARLY_MOST: Final = 512  # packets kept while our own handshake task waits for its turn
CONNECT_TIMEOUT_S: Final = 20.0
PRIORITY: Final = 2_130_706_431  # host candidate, RFC 8445 5.1.2.1
BATCH: Final = 32  # datagrams a system call; a burst to one viewer is four
SLOT: Final = 2_048  # bytes for one datagram, above any path MTU

_certificate: RTCCertificate | None = None
_batch: _Batch | None = None


class RefusedOffer(Exception):
    """The relay answered an offer with something other than 201."""

    def __init__(self, status: int, body: str, headers: dict[str, str]) -> None:
        super().__init__(f"{status}: {body[:300]}")
        self.status = status
        self.body = body
        self.headers = headers


class _Batch:
    """One receive buffer for all links of this process: they run on one thread, in turns."""

    def __init__(self) -> None:
        self.memory, self.view, base = new_buffer(BATCH * SLOT)
        self.messages = ffi.new("struct mmsghdr[]", BATCH)
        self._iov = ffi.new("struct iovec[]", BATCH)
        for index in range(BATCH):
            self._iov[index].iov_base = ffi.cast("void *", base + index * SLOT)
            self._iov[index].iov_len = SLOT
            self.messages[index].msg_hdr.msg_iov = self._iov + index
            self.messages[index].msg_hdr.msg_iovlen = 1


class _DtlsWire:
    """What RTCDtlsTransport asks of an ICE transport."""

    role = "controlling"
    state = "completed"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.received: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._send_now = send

    async def _recv(self) -> bytes:
        data = await self.received.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._send_now(data)


class LightLink:
    """Base of the light peers. Subclasses say what they offer and take what arrives."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str | None) -> None:
        self.url = url
        self.answer_sdp = ""
        self.answer: Answer | None = None
        self.resource: URL | None = None
        self.etag: str | None = None
        self.times: dict[str, float] = {}
        """Monotonic seconds: post, answer, ice, dtls, and first (media packet)."""
        self.dtls_closed = False
        self._http = http
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._ufrag, self._password = secrets.token_hex(4), secrets.token_hex(12)
        self._tie_breaker = secrets.randbits(64)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.setblocking(False)
        self._batch = _shared_batch()
        self._checked = asyncio.Event()
        self._consent: asyncio.TimerHandle | None = None
        self._wire = _DtlsWire(self._send)
        self._dtls: RTCDtlsTransport | None = None
        self._inbound: Any = None
        self._outbound: Any = None
        self._early: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def sections(self) -> list[Media]:
        """What to offer, in m-line order."""
        raise NotImplementedError

    def receive_rtp(self, data: memoryview, now: float) -> None:
        """A protected RTP packet; `data` is valid during the call only."""

    def receive_rtcp(self, data: bytes, now: float) -> None:
        """An unprotected RTCP compound."""

    async def connect(self) -> None:
        """POST, ICE, DTLS. Raises RefusedOffer, TimeoutError, ConnectionError."""
        await self.signal()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await self.establish()

    async def signal(self) -> None:
        """POST the offer and read the answer."""
        fingerprint = next(
            found.value for found in certificate().getFingerprints() if found.algorithm == "sha-256"
        )
        body = offer(self.sections(), self._ufrag, self._password, fingerprint)
        self.times["post"] = monotonic()
        headers = {"Content-Type": "application/sdp", **self._headers}
        async with self._http.post(self.url, data=body.encode(), headers=headers) as response:
            text = await response.text()
            if response.status != 201:
                raise RefusedOffer(response.status, text, dict(response.headers))
            self.resource = response.url.join(URL(response.headers["Location"]))
            self.etag = response.headers.get("ETag")
        self.times["answer"] = monotonic()
        self.answer_sdp = text
        self.answer = read_answer(text)

    async def establish(self) -> None:
        """ICE checks, then the DTLS handshake; media may flow when this returns."""
        assert self.answer is not None
        assert self.answer.setup == "passive"
        self._socket.connect(self.answer.address)
        self._listen()
        while not self._checked.is_set():
            self._check()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._checked.wait(), CHECK_REPEAT_S)
        self.times["ice"] = monotonic()
        self._consent = self._loop.call_later(CONSENT_S, self._keep_consent)
        dtls = RTCDtlsTransport(self._wire, [certificate()])  # type: ignore[arg-type]  # all it needs
        dtls._srtp_profiles = [SRTP_AEAD_AES_128_GCM]
        dtls._set_role("client")
        self._dtls = dtls
        await dtls.start(RTCDtlsParameters([RTCDtlsFingerprint(*self.answer.fingerprint)]))
        if dtls.state != "connected":
            raise ConnectionError(f"DTLS is {dtls.state}")
        self._inbound, self._outbound = dtls._rx_srtp, dtls._tx_srtp
        self.times["dtls"] = monotonic()
        self.established()
        early, self._early = self._early, []
        for packet in early:
            self._media(memoryview(packet), self.times["dtls"])

    def established(self) -> None:
        """Called once media may flow."""

    def send_rtp(self, packet: bytes) -> None:
        """Protect and send one RTP packet."""
        self._send(self._outbound.protect(packet))

    def send_rtcp(self, compound: bytes) -> None:
        """Protect and send one RTCP compound."""
        self._send(self._outbound.protect_rtcp(compound))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are: for tests of hostile input."""
        self._send(data)

    def unprotect(self, data: memoryview) -> bytes:
        """The RTP packet in `data`, decrypted."""
        packet: bytes = self._inbound.unprotect(bytes(data))
        return packet

    def rebind(self) -> None:
        """Go on from another local port, as after a change of network."""
        assert self.answer is not None
        self._deafen()
        self._socket.close()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(self.answer.address)
        self._listen()
        self._check()

    async def leave(self) -> None:
        """DELETE the session and close."""
        if self.resource is not None:
            async with self._http.delete(self.resource, headers=self._headers):
                self.resource = None
        await self.vanish()

    async def vanish(self) -> None:
        """Close the socket without a word, as a machine that lost its power does."""
        if self._consent is not None:
            self._consent.cancel()
        if self._socket.fileno() >= 0:
            self._deafen()
            self._socket.close()
        self._wire.received.put_nowait(None)
        if self._dtls is not None and self._dtls._task is not None:
            self._dtls._task.cancel()
            await asyncio.gather(self._dtls._task, return_exceptions=True)

    def _listen(self) -> None:
        """Be told of what arrives."""
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _deafen(self) -> None:
        self._loop.remove_reader(self._socket.fileno())

    def _send(self, data: bytes) -> None:
        # A full buffer or a relay that is gone: UDP may lose it, and everything above repeats.
        with contextlib.suppress(OSError):
            self._socket.send(data)

    def _readable(self) -> None:
        now = monotonic()
        batch = self._batch
        # Below 0: nothing more, or the relay's port is closed for now.
        count = libc.recvmmsg(self._socket.fileno(), batch.messages, BATCH, 0, ffi.NULL)
        for index in range(count):
            start = index * SLOT
            data = batch.view[start : start + batch.messages[index].msg_len]
            first = data[0] if data else 0
            if 127 < first < 192:
                self._media(data, now)
            elif first < 4:
                self._stun(bytes(data))
            elif 19 < first < 64:
                self._wire.received.put_nowait(bytes(data))

    def _media(self, data: memoryview, now: float) -> None:
        if self._inbound is None:
            # The handshake is over for the relay, and for us once its task has its turn.
            if len(self._early) < EARLY_MOST:
                self._early.append(bytes(data))
        elif 192 <= data[1] <= 223:
            with contextlib.suppress(pylibsrtp.Error):
                self.receive_rtcp(self._inbound.unprotect_rtcp(bytes(data)), now)
        else:
            self.receive_rtp(data, now)

    def _check(self) -> None:
        assert self.answer is not None
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{self.answer.ufrag}:{self._ufrag}"
        request.attributes["PRIORITY"] = PRIORITY
        request.attributes["ICE-CONTROLLING"] = self._tie_breaker
        request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity(self.answer.password.encode())
        self._send(bytes(request))

    def _keep_consent(self) -> None:
        self._check()
        self._consent = self._loop.call_later(CONSENT_S, self._keep_consent)

    def _stun(self, data: bytes) -> None:
        assert self.answer is not None
        try:
            message = stun.parse_message(data)
        except ValueError:
            return
        if message.message_class == stun.Class.RESPONSE:
            if message.check_message_integrity(self.answer.password.encode()):
                self._checked.set()
        elif message.message_class == stun.Class.REQUEST and message.check_message_integrity(
            self._password.encode()
        ):
            reply = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, message.transaction_id)
            reply.attributes["XOR-MAPPED-ADDRESS"] = self._socket.getpeername()
            reply.add_message_integrity(self._password.encode())
            self._send(bytes(reply))


def _shared_batch() -> _Batch:
    global _batch
    if _batch is None:
        _batch = _Batch()
    return _batch


def certificate() -> RTCCertificate:
    """One for all light peers of this process: making hundreds would take seconds."""
    global _certificate
    if _certificate is None:
        _certificate = RTCCertificate.generateCertificate()
    return _certificate


def random_ssrc() -> int:
    """A random SSRC, never 0."""
    return int.from_bytes(os.urandom(4), "big") or 1
