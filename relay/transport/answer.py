"""The words of an answer: sections, codecs, SSRCs and candidates (RFC 8829, RFC 8839, RFC 9143).

Nothing is decided here: `offer` has settled what is taken of each section. The relay is ICE-lite
and has one port for UDP and one for TCP, so the candidates stand once, in the section that the
whole bundle uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.sfu.negotiated import SlotSpec
from relay.transport.ice import Credentials
from relay.transport.offer import Accepted
from relay.transport.sdp import RtpMap

# Feedback that we act on; goog-remb only serves peers without transport-wide numbers.
_FEEDBACK: Final = ("transport-cc", "ccm fir", "nack", "nack pli")


@dataclass(frozen=True, slots=True)
class Local:
    """Our side of an answer. addresses: where the ports can be reached, best first.

    tcp_port: of ICE over TCP, 0 for none.
    """

    credentials: Credentials
    fingerprint: str
    addresses: tuple[str, ...]
    port: int
    active: bool
    tcp_port: int = 0


def tagged(answer: Sequence[Accepted], bundle: Sequence[str]) -> list[str]:
    """Mids of the accepted sections in the offer's order of the group; the first one's transport
    is everybody's (RFC 9143 §7.3). Empty when the offer had no group."""
    accepted = {one.section.mid for one in answer if one.codecs}
    return [mid for mid in dict.fromkeys(bundle) if mid in accepted]


def write_answer(
    answer: Sequence[Accepted], bundle: Sequence[str], local: Local, session_id: int, stream: str
) -> str:
    """The answer's text. bundle: the offer's group. stream: media stream id that ties a viewer's
    slots together."""
    group = tagged(answer, bundle)
    lines = ["v=0", f"o=- {session_id} 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    if group:
        lines.append(f"a=group:BUNDLE {' '.join(group)}")
    lines += [
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS *",
        "a=ice-lite",
    ]
    first = group[0] if group else next(one.section.mid for one in answer if one.codecs)
    for one in answer:
        lines += _section_lines(one, local, stream, with_candidates=one.section.mid == first)
    return "\r\n".join(lines) + "\r\n"


def _section_lines(one: Accepted, local: Local, stream: str, *, with_candidates: bool) -> list[str]:
    section = one.section
    if not one.codecs:
        formats = " ".join(section.formats[:1])
        lines = [f"m={section.kind} 0 {section.protocol} {formats}", "c=IN IP4 0.0.0.0"]
        if section.mid:
            lines.append(f"a=mid:{section.mid}")
        return [*lines, "a=inactive"]
    numbers = " ".join(str(entry.payload_type) for entry in one.codecs)
    lines = [
        f"m={section.kind} {local.port} {section.protocol} {numbers}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{section.mid}"] if section.mid else []),
        f"a=ice-ufrag:{local.credentials.ufrag}",
        f"a=ice-pwd:{local.credentials.password}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        f"a=setup:{'active' if local.active else 'passive'}",
        f"a={one.direction}",
        "a=rtcp-mux",
        *(["a=rtcp-rsize"] if section.rtcp_rsize else []),
        "a=rtcp-xr:rcvr-rtt=all",
    ]
    lines += [f"a=extmap:{number} {uri}" for uri, number in one.extensions.items()]
    for entry in one.codecs:
        lines += _codec_lines(entry, section.kind)
    if one.track is not None and section.rids:
        lines += [f"a=rid:{rid} recv" for rid in section.rids]
        lines.append(f"a=simulcast:recv {';'.join(section.rids)}")
    if one.slot is not None:
        lines += _ssrc_lines(one.slot, stream)
    if with_candidates:
        lines += candidate_lines(local)
    return lines


def candidate_lines(local: Local) -> list[str]:
    """a=candidate lines, best address first (RFC 8839 §5.1), and the end of candidates."""
    lines = []
    for index, address in enumerate(local.addresses):
        # RFC 8445 §5.1.2.1: type preference 126 for host, local preference by order.
        priority = (126 << 24) | ((65_535 - index) << 8) | 255
        lines.append(f"a=candidate:{index + 1} 1 udp {priority} {address} {local.port} typ host")
    for index, address in enumerate(local.addresses if local.tcp_port else ()):
        # RFC 6544 §4.2: direction preference 4 for passive, other preference by order; so every
        # address is tried over UDP first. Its foundation is another, too (§4.1).
        priority = (126 << 24) | ((4 << 13 | 8_191 - index) << 8) | 255
        foundation = len(local.addresses) + index + 1
        lines.append(
            f"a=candidate:{foundation} 1 tcp {priority} {address} {local.tcp_port} typ host"
            " tcptype passive"
        )
    return [*lines, "a=end-of-candidates"]


def _codec_lines(entry: RtpMap, kind: str) -> list[str]:
    number = entry.payload_type
    channels = f"/{entry.channels}" if entry.channels > 1 else ""
    name = {"h264": "H264", "vp8": "VP8", "vp9": "VP9", "av1": "AV1"}.get(entry.name, entry.name)
    lines = [f"a=rtpmap:{number} {name}/{entry.clock_rate}{channels}"]
    if entry.fmtp:
        parameters = ";".join(
            f"{key}={value}" if key else value for key, value in entry.fmtp.items()
        )
        lines.append(f"a=fmtp:{number} {parameters}")
    if entry.name not in ("rtx", "red"):
        lines += [
            f"a=rtcp-fb:{number} {feedback}" for feedback in _FEEDBACK if feedback in entry.feedback
        ]
        if "transport-cc" not in entry.feedback and "goog-remb" in entry.feedback:
            lines.append(f"a=rtcp-fb:{number} goog-remb")
    return lines


def _ssrc_lines(slot: SlotSpec, stream: str) -> list[str]:
    lines = [f"a=msid:{stream} {slot.slot}"]
    ssrcs = [slot.ssrc]
    if any(entry.rtx is not None for entry in slot.codecs):
        lines.append(f"a=ssrc-group:FID {slot.ssrc} {slot.rtx_ssrc}")
        ssrcs.append(slot.rtx_ssrc)
    if slot.fec is not None:
        # RFC 5956 §4.3; libwebrtc looks for nothing else.
        lines.append(f"a=ssrc-group:FEC-FR {slot.ssrc} {slot.fec.ssrc}")
        ssrcs.append(slot.fec.ssrc)
    return [*lines, *(f"a=ssrc:{ssrc} cname:{stream}" for ssrc in ssrcs)]
