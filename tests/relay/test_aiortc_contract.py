"""What we use of aiortc and pylibsrtp beyond their documentation, one test for each member.

Versions are pinned in pyproject; an upgrade that changes one of these fails here, by its name. That
no member is used without a test here is held by `tests/test_borrowed_members.py`.
`Pipe` below is all that a transport gives to RTCDtlsTransport.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import cast

import pylibsrtp
import pytest
from aioice import stun
from aiortc import RTCRtpReceiver, RTCRtpSender, clock
from aiortc import rtcdtlstransport as dtls
from aiortc.codecs.h264 import H264Encoder
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPacket, RtcpPsfbPacket, RtcpSrPacket, is_rtcp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from pylibsrtp import Policy, Session
from pylibsrtp import _binding as binding

from classroom.host.outlet import Outlet, PacketTrack, Piece, Timeline
from classroom.host.punctual import make_punctual
from relay.transport import native
from relay.transport.dtls import PROFILES, SharedCertificate
from tests.eventually import eventually

PINNED = {"aiortc": "1.16.0", "aioice": "0.13.0", "pylibsrtp": "1.0.0"}


class Pipe:
    """One end of a perfect link."""

    role = "controlled"

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.other: Pipe | None = None

    async def _recv(self) -> bytes:
        data = await self.incoming.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        assert self.other is not None
        self.other.incoming.put_nowait(data)


@dataclass
class Pair:
    server: dtls.RTCDtlsTransport
    client: dtls.RTCDtlsTransport
    pipes: tuple[Pipe, Pipe]


def parameters(certificate: dtls.RTCCertificate) -> dtls.RTCDtlsParameters:
    return dtls.RTCDtlsParameters(fingerprints=certificate.getFingerprints())


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    one, two = Pipe(), Pipe()
    one.other, two.other = two, one
    ours, theirs = SharedCertificate.generateCertificate(), SharedCertificate.generateCertificate()
    server = dtls.RTCDtlsTransport(cast(RTCIceTransport, one), [ours])
    client = dtls.RTCDtlsTransport(cast(RTCIceTransport, two), [theirs])
    server._set_role("server")
    client._set_role("client")
    server._srtp_profiles = list(PROFILES)
    await asyncio.gather(server.start(parameters(theirs)), client.start(parameters(ours)))
    yield Pair(server, client, (one, two))
    tasks = [task for one in (server, client) if (task := one._task) is not None]
    await asyncio.gather(server.stop(), client.stop())
    if tasks:
        await asyncio.wait(tasks)


@pytest.mark.parametrize("package", sorted(PINNED))
def test_the_versions_are_those_that_were_read(package: str) -> None:
    assert version(package) == PINNED[package]


async def test_a_transport_needs_recv_send_and_role_alone(pair: Pair) -> None:
    assert (pair.server.state, pair.client.state) == ("connected", "connected")


async def test_set_role_decides_who_opens(pair: Pair) -> None:
    assert (pair.server._role, pair.client._role) == ("server", "client")


async def test_srtp_profiles_are_offered_in_our_order(pair: Pair) -> None:
    assert pair.server._ssl is not None
    assert pair.server._ssl.get_selected_srtp_profile() == b"SRTP_AEAD_AES_128_GCM"


async def test_srtp_sessions_stand_after_the_handshake(pair: Pair) -> None:
    packet = bytes([0x80, 111, 0, 1]) + bytes(8) + b"words"
    protected = pair.server._tx_srtp.protect(packet)
    assert pair.client._rx_srtp.unprotect(protected) == packet


async def test_ssl_is_pyopenssls_connection(pair: Pair) -> None:
    assert isinstance(pair.server._ssl, SSL.Connection)


async def test_task_reads_until_cancelled_and_goodbye_closes(pair: Pair) -> None:
    task = pair.server._task
    assert isinstance(task, asyncio.Future)
    changed = asyncio.Event()
    pair.server.on("statechange", changed.set)
    await pair.client.stop()
    async with asyncio.timeout(5):
        await changed.wait()
    assert pair.server.state == "closed"


async def test_a_handshake_with_another_certificate_fails_and_never_raises() -> None:
    one, two = Pipe(), Pipe()
    one.other, two.other = two, one
    certificate = SharedCertificate.generateCertificate()
    wrong = parameters(SharedCertificate.generateCertificate())
    server = dtls.RTCDtlsTransport(cast(RTCIceTransport, one), [certificate])
    client = dtls.RTCDtlsTransport(cast(RTCIceTransport, two), [certificate])
    server._set_role("server")
    client._set_role("client")
    await asyncio.gather(server.start(wrong), client.start(parameters(certificate)))
    assert server.state == "failed"
    task = client._task
    await asyncio.gather(server.stop(), client.stop())
    if task is not None:
        await asyncio.wait([task])


def test_create_ssl_context_takes_profiles_and_is_called_for_each_peer() -> None:
    signature = inspect.signature(dtls.RTCCertificate._create_ssl_context)
    assert list(signature.parameters) == ["self", "srtp_profiles"]
    certificate = SharedCertificate.generateCertificate()
    assert isinstance(certificate, SharedCertificate)
    first = certificate._create_ssl_context(list(PROFILES))
    assert isinstance(first, SSL.Context)
    assert certificate._create_ssl_context(srtp_profiles=list(PROFILES)) is first


def test_the_three_profiles_have_their_names() -> None:
    assert [profile.openssl_profile for profile in PROFILES] == [
        b"SRTP_AEAD_AES_128_GCM",
        b"SRTP_AEAD_AES_256_GCM",
        b"SRTP_AES128_CM_SHA1_80",
    ]


def _session(direction: int) -> Session:
    policy = Policy(
        key=bytes(range(28)),
        ssrc_type=direction,
        srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    )
    return Session(policy)


def test_srtp_of_a_session_is_libsrtps_own_context() -> None:
    packet = bytes([0x80, 111, 0, 1]) + bytes(8) + b"words"
    memory, view, _ = native.new_buffer(200)
    view[: len(packet)] = packet
    length, _ = native.new_lengths(1)
    length[0] = len(packet)
    sender = _session(Policy.SSRC_ANY_OUTBOUND)
    assert native.protect(native.srtp_context(sender), memory, length) == native.SRTP_OK
    protected = bytes(view[: length[0]])
    assert _session(Policy.SSRC_ANY_INBOUND).unprotect(protected) == packet


@pytest.mark.parametrize(
    "name",
    [
        "srtp_protect",
        "srtp_protect_rtcp",
        "srtp_unprotect",
        "srtp_unprotect_rtcp",
        "srtp_err_status_ok",
    ],
)
def test_the_binding_names_what_we_call(name: str) -> None:
    assert hasattr(binding.lib, name)


def test_a_replay_has_the_status_that_we_count() -> None:
    packet = bytes([0x80, 111, 0, 1]) + bytes(8) + b"words"
    protected = _session(Policy.SSRC_ANY_OUTBOUND).protect(packet)
    receiver = native.srtp_context(session := _session(Policy.SSRC_ANY_INBOUND))
    memory, view, _ = native.new_buffer(200)
    length, _ = native.new_lengths(1)
    statuses = []
    for _ in range(2):
        view[: len(protected)] = protected
        length[0] = len(protected)
        statuses.append(native.unprotect(receiver, memory, length))
    assert session is not None
    assert statuses[0] == native.SRTP_OK
    assert statuses[1] in native.SRTP_REPLAYED
    assert pylibsrtp.ERRORS[statuses[1]].startswith("replay")


def test_stun_attributes_have_the_names_that_the_tests_write() -> None:
    names = {"USERNAME", "PRIORITY", "USE-CANDIDATE", "ICE-CONTROLLED", "ERROR-CODE"}
    assert names | {"XOR-MAPPED-ADDRESS", "MESSAGE-INTEGRITY"} <= set(stun.ATTRIBUTES_BY_NAME)


def test_a_certificate_has_its_key_and_its_x509_form() -> None:
    certificate = dtls.RTCCertificate.generateCertificate()
    assert isinstance(certificate._key, ec.EllipticCurvePrivateKey)
    assert isinstance(certificate._cert, x509.Certificate)
    assert certificate._cert.public_key() == certificate._key.public_key()
    key = certificate._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")
    shown = certificate._cert.public_bytes(Encoding.PEM)
    assert shown.startswith(b"-----BEGIN CERTIFICATE-----")


async def test_a_picture_loss_indication_calls_the_senders_own_attribute(pair: Pair) -> None:
    """The instance's, which a host replaces: its pictures are not coded by aiortc."""
    sender = RTCRtpSender("video", pair.client)
    asked: list[None] = []
    assert callable(sender._send_keyframe)
    setattr(sender, "_send_keyframe", lambda: asked.append(None))  # noqa: B010 a method, for mypy not assignable
    report = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=sender._ssrc)
    await sender._handle_rtcp_packet(report)
    assert len(asked) == 1


async def test_a_sender_keeps_the_moment_of_its_newest_packet_where_reports_read_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attribute that `classroom.host.punctual` puts another moment into."""
    outlet = Outlet("voice", "opus", live=False)
    track = PacketTrack(outlet, Timeline(live=False))
    sender = RTCRtpSender(track, pair.client)
    assert sender._RTCRtpSender__ntp_timestamp == 0  # type: ignore[attr-defined] # private to its class
    make_punctual(sender)
    # All that a report is made of goes through here; what is not a report is media.
    reports: list[RtcpSrPacket] = []
    send = pair.client._send_rtp

    async def keep(data: bytes) -> None:
        if is_rtcp(data):
            reports.extend(p for p in RtcpPacket.parse(data) if isinstance(p, RtcpSrPacket))
        await send(data)

    monkeypatch.setattr(pair.client, "_send_rtp", keep)
    codec = RTCRtpCodecParameters("audio/opus", 48_000, 2, 111)
    await sender.send(RTCRtpSendParameters(codecs=[codec]))
    outlet.put(Piece(b"one", 0.0, True))
    await eventually(lambda: track.sent == 1)
    # Its moment has been over for 0.2 s when the next piece comes.
    await asyncio.sleep(0.4)
    outlet.put(Piece(b"two", 0.2, True))
    await eventually(lambda: track.sent == 2)
    sent = clock.current_ntp_time()
    await eventually(lambda: len(reports) > 1 and reports[-1].sender_info.packet_count == 2)
    told = reports[-1].sender_info.ntp_timestamp
    assert 0.19 < (sent - told) / 2**32 < 0.4
    await sender.stop()
    outlet.close()


async def test_a_receiver_can_be_told_to_report_a_lost_picture(pair: Pair) -> None:
    receiver = RTCRtpReceiver("video", pair.client)
    receiver._set_rtcp_ssrc(7)
    sent: list[object] = []

    async def keep(packet: object) -> None:
        sent.append(packet)

    setattr(receiver, "_send_rtcp", keep)  # noqa: B010 a method, for mypy not assignable
    await receiver._send_rtcp_pli(5)
    assert sent == [RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=7, media_ssrc=5)]


def test_the_h264_encoder_splits_a_byte_stream_and_packs_its_units() -> None:
    units = [b"\x67\x42", b"\x68\xce", b"\x65" + b"x" * 3_000]
    stream = b"".join(b"\0\0\0\1" + unit for unit in units)
    assert list(H264Encoder._split_bitstream(stream)) == units
    payloads = H264Encoder._packetize(units)
    assert [payload[0] & 0x1F for payload in payloads] == [24, 28, 28, 28]


def test_a_session_holds_libsrtps_context_in_one_attribute() -> None:
    session = _session(Policy.SSRC_ANY_OUTBOUND)
    assert native.srtp_context(session) == session._srtp[0]
