"""DTLS and the keys it yields (RFC 5763, RFC 5764), through aiortc's transport.

aiortc's RTCDtlsTransport needs of its ICE transport only `_recv`, `_send` and `role`; here these
are a queue and a callback, and everything else of ICE and SRTP stays ours. One certificate and one
OpenSSL context serve all peers of a process: a context per peer would cost memory and time. The
underscore members used are guarded by tests/relay/test_aiortc_contract.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from aiortc.rtcicetransport import RTCIceTransport
from OpenSSL import SSL
from pylibsrtp import Policy, Session

from relay.transport.wire import Wire

# AES-128-GCM first: the fastest on every CPU with AES instructions, and 128 bits are enough for a
# lesson. OpenSSL takes the first of ours that the peer offers.
PROFILES: Final = (SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80)
# aiortc's list knows ECDSA only; where we open the handshake, a peer may well have an RSA
# certificate (GStreamer's does). All have forward secrecy.
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
)
# Authentication tags of SRTP in bytes (RFC 7714 §5.1, RFC 3711 §5.2).
_TAGS: Final = {
    b"SRTP_AEAD_AES_128_GCM": 16,
    b"SRTP_AEAD_AES_256_GCM": 16,
    b"SRTP_AES128_CM_SHA1_80": 10,
}
# Packets that may be sent again, or late, under their own number: a repair that the teacher's link
# took a second for, and some. libsrtp shifts this many bits for each packet it protects: twice as
# many would cost 1 % of the whole fan-out.
SEND_WINDOW: Final = 512
# Datagrams of a handshake waiting for their turn; a flight has at most about ten.
_QUEUE: Final = 32


class HandshakeFailed(Exception):
    """The peer's certificate, ciphers or behaviour do not fit; the message says which."""


class SharedCertificate(RTCCertificate):
    """A certificate whose OpenSSL context is made once for all peers."""

    _shared: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._shared is None:
            self._shared = super()._create_ssl_context(srtp_profiles=srtp_profiles)
            self._shared.set_cipher_list(_CIPHERS)
        return self._shared

    def fingerprint(self) -> str:
        """The SHA-256 fingerprint as a=fingerprint writes it, without the algorithm."""
        for one in self.getFingerprints():
            if one.algorithm == "sha-256":
                return str(one.value)
        raise AssertionError("aiortc computes sha-256 fingerprints")


class _Pipe:
    """What aiortc takes for an ICE transport."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)
        self._send_now = send

    def push(self, data: bytes | None) -> None:
        if self._queue.full():
            if data is not None:
                return  # a flood; real handshakes repeat themselves
            self._queue.get_nowait()  # the end must get through
        self._queue.put_nowait(data)

    async def _recv(self) -> bytes:
        data = await self._queue.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._send_now(data)


class Dtls:
    """One peer's association. `closed` is called when the peer says goodbye."""

    def __init__(
        self,
        certificate: SharedCertificate,
        fingerprints: Sequence[tuple[str, str]],
        *,
        active: bool,
        send: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        """active: whether we open the handshake. send: one datagram to the peer."""
        self._pipe = _Pipe(send)
        # aiortc asks for its own ICE transport and uses only what _Pipe has.
        self._transport = RTCDtlsTransport(cast(RTCIceTransport, self._pipe), [certificate])
        self._transport._set_role("client" if active else "server")
        self._transport._srtp_profiles = list(PROFILES)
        self._parameters = RTCDtlsParameters(
            fingerprints=[RTCDtlsFingerprint(algorithm, value) for algorithm, value in fingerprints]
        )
        self._closed = closed

    def receive(self, data: bytes) -> None:
        """One DTLS datagram."""
        self._pipe.push(data)

    async def handshake(self) -> Wire:
        """Shake hands; the wire that results has no address yet. Raises HandshakeFailed."""
        transport = self._transport
        await transport.start(self._parameters)
        if transport.state != "connected":
            # OpenSSL takes no certificate on a curve below 256 bits, such as ffmpeg's muxer makes
            # when it was built with GnuTLS; with -cert_file and -key_file it takes another.
            raise HandshakeFailed(
                "the DTLS handshake failed: fingerprint, certificate, cipher or SRTP profile"
            )
        transport.on("statechange", self._changed)
        assert transport._ssl is not None, "connected"
        selected = transport._ssl.get_selected_srtp_profile()
        profile = next(one for one in PROFILES if one.openssl_profile == selected)
        transport._tx_srtp = self._sending_session(profile)
        return Wire(transport._tx_srtp, transport._rx_srtp, _TAGS[selected])

    def _sending_session(self, profile: SRTPProtectionProfile) -> Session:
        """The session for what we send, with a narrower window than aiortc's (RFC 5764 §4.2)."""
        transport = self._transport
        assert transport._ssl is not None, "connected"
        keys = transport._ssl.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (profile.key_length + profile.salt_length)
        )
        policy = Policy(
            key=profile.get_key_and_salt(keys, 1 if transport._role == "server" else 0),
            ssrc_type=Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=profile.libsrtp_profile,
        )
        policy.allow_repeat_tx = True
        policy.window_size = SEND_WINDOW
        return Session(policy)

    def _changed(self) -> None:
        if self._transport.state in ("closed", "failed"):
            self._closed()

    async def close(self) -> None:
        """Say goodbye and end aiortc's task."""
        self._transport.remove_all_listeners()
        task = self._transport._task
        await self._transport.stop()
        self._pipe.push(None)
        if task is not None:
            await asyncio.wait([task])
