"""A relay's own offer to its parent, and what it reads of the answer (RFC 8829, RFC 8839).

One section for each source, with every codec that relays forward: whatever the teacher sends next
needs no new offer. Which stream carries which layer is not said here but told
(`relay.sfu.upstream`). The offerer is a full ICE agent without candidates: the other side is lite
and learns our address from our checks. Nothing is decided here; refusals name the line at fault.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from classroom.errors import Refused
from relay.media.codec import OPUS, Codec
from relay.sfu.negotiated import CAMERA, SCREEN, VOICE
from relay.sfu.upstream import EXTENSIONS, OPUS_TYPE, RED_TYPE, VIDEO_TYPES
from relay.transport import sdp
from relay.transport.ice import Credentials
from relay.transport.offer import Remote

# A relay has a few addresses, each over UDP and TCP.
CANDIDATES_MOST: Final = 16
_CANDIDATE: Final = re.compile(
    r"a=candidate:\S{1,32} 1 (udp|tcp) (\d{1,10}) (\S{2,45}) (\d{1,5}) typ host( tcptype passive)?"
)
_NAMES: Final = {"h264": "H264", "vp8": "VP8", "vp9": "VP9", "av1": "AV1"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where the parent can be reached. priority: as in RFC 8445 §5.1.2. is_tcp: RFC 6544."""

    host: str
    port: int
    priority: int
    is_tcp: bool = False


@dataclass(frozen=True, slots=True)
class ParentSide:
    """What the answer said: the other end of ICE and DTLS, and where it may be reached."""

    remote: Remote
    candidates: tuple[Candidate, ...]


def write_offer(local: Credentials, fingerprint: str, session_id: int) -> str:
    """The offer's text."""
    mids = (VOICE, CAMERA, SCREEN)
    lines = [
        "v=0",
        f"o=- {session_id} 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        "a=extmap-allow-mixed",
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:actpass",
        *(f"a=extmap:{number} {uri}" for uri, number in EXTENSIONS.items()),
    ]
    for mid in mids:
        lines += _voice(mid) if mid == VOICE else _video(mid)
    return "\r\n".join(lines) + "\r\n"


def _section(kind: str, mid: str, numbers: Sequence[int]) -> list[str]:
    return [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, numbers))}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{mid}",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtcp-fb:* transport-cc",
        "a=rtcp-fb:* nack",
    ]


def _voice(mid: str) -> list[str]:
    return [
        *_section("audio", mid, (OPUS_TYPE, RED_TYPE)),
        *_codec(OPUS_TYPE, OPUS),
        f"a=rtpmap:{RED_TYPE} red/48000/2",
        f"a=fmtp:{RED_TYPE} {OPUS_TYPE}/{OPUS_TYPE}",
    ]


def _video(mid: str) -> list[str]:
    lines = _section("video", mid, [one for number in VIDEO_TYPES for one in (number, number + 1)])
    lines.append("a=rtcp-fb:* nack pli")
    for number, codec in VIDEO_TYPES.items():
        lines += _codec(number, codec)
        lines += [f"a=rtpmap:{number + 1} rtx/90000", f"a=fmtp:{number + 1} apt={number}"]
    return lines


def _codec(number: int, codec: Codec) -> list[str]:
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    name = _NAMES.get(codec.name, codec.name)
    lines = [f"a=rtpmap:{number} {name}/{codec.clock_rate}{channels}"]
    if codec.fmtp:
        text = ";".join(f"{key}={value}" for key, value in codec.fmtp.items())
        lines.append(f"a=fmtp:{number} {text}")
    return lines


def read_answer(text: str) -> ParentSide:
    """The parent's side. Raises Refused 400, or 502 for an answer that is none to a relay's
    offer."""
    description = sdp.parse(text)
    section = next((one for one in description.sections if one.port), None)
    if section is None or not section.ice_ufrag or not section.ice_password:
        raise _refused("a section with ICE credentials")
    fingerprints = tuple(pair for pair in section.fingerprints if pair[1])
    if not fingerprints or section.setup not in ("active", "passive"):
        raise _refused("a fingerprint that can be checked and a DTLS role")
    candidates: list[Candidate] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        found = _CANDIDATE.fullmatch(line)
        if found is None or (found[1] == "tcp") != bool(found[5]):
            continue
        try:
            host = str(ip_address(found[3]))
        except ValueError:
            continue
        port = int(found[4])
        if 0 < port <= 65_535 and len(candidates) < CANDIDATES_MOST:
            candidates.append(Candidate(host, port, int(found[2]), found[1] == "tcp"))
    if not candidates:
        raise _refused("an address")
    credentials = Credentials(section.ice_ufrag, section.ice_password)
    remote = Remote(credentials, fingerprints, active=section.setup == "active")
    return ParentSide(remote, tuple(candidates))


def _refused(what: str) -> Refused:
    return Refused(
        502,
        "trunk-answer",
        f"The parent relay's answer lacks {what}.",
        fix="Check that the parent is a relay of the same version.",
        field="answer",
    )
