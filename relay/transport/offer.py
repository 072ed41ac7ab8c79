"""From an offer to what the core needs and the answer to send (RFC 9725 WHIP, WHEP, RFC 8829).

The answerer keeps every codec that both sides support, in the offer's order, so that nothing is
renegotiated when a source changes its codec. Publishers: first audio is the voice, first video the
camera, second the screen. Viewers: static slots in the order voice, talk-voice; camera, screen,
talk-camera; a player with one video gets the programme. Refusals name the attribute at fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from classroom.errors import Refused
from relay.media import rtp
from relay.media.codec import Codec, Kind, forwarded
from relay.sfu.negotiated import (
    CAMERA,
    PROGRAMME,
    SCREEN,
    TALK_CAMERA,
    TALK_VOICE,
    VOICE,
    SlotCodec,
    SlotSpec,
    TrackSpec,
)
from relay.transport.ice import Credentials
from relay.transport.sdp import Description, RtpMap, Section, refuse

# Feedback that we act on; goog-remb only serves peers without transport-wide numbers.
_FEEDBACK: Final = ("transport-cc", "ccm fir", "nack", "nack pli")
_FROM_PUBLISHER: Final = (
    rtp.TRANSPORT_CC,
    rtp.MID,
    rtp.RID,
    rtp.REPAIRED_RID,
    rtp.DEPENDENCY_DESCRIPTOR,
    rtp.VIDEO_ORIENTATION,
)
_TO_VIEWER: Final = (rtp.TRANSPORT_CC, rtp.DEPENDENCY_DESCRIPTOR, rtp.VIDEO_ORIENTATION)
MAX_RIDS: Final = 4


@dataclass(slots=True)
class Accepted:
    """One section of the offer as we answer it; `codecs` empty means that it is rejected."""

    section: Section
    direction: str = "inactive"
    codecs: list[RtpMap] = field(default_factory=list)
    extensions: dict[str, int] = field(default_factory=dict)
    track: TrackSpec | None = None
    slot: SlotSpec | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """The peer's side of ICE and DTLS. active: whether it opens the handshake."""

    credentials: Credentials
    fingerprints: tuple[tuple[str, str], ...]
    active: bool


def remote_side(description: Description) -> Remote:
    """ICE and DTLS parameters of the offer's first bundled section. Raises Refused 400."""
    section = _bundled(description)[0]
    if not section.ice_ufrag or not section.ice_password:
        raise refuse(
            "sdp-ice",
            "The offer has no ICE credentials.",
            "a=ice-ufrag",
            "Send the complete offer.",
        )
    fingerprints = tuple(pair for pair in section.fingerprints if pair[1])
    if not fingerprints:
        raise refuse(
            "sdp-fingerprint",
            "The offer has no DTLS fingerprint that can be checked.",
            "a=fingerprint",
            "Offer a sha-256 fingerprint; media is always encrypted.",
        )
    if section.setup not in ("actpass", "active", "passive"):
        raise refuse(
            "sdp-setup",
            "The offer's DTLS role is not actpass, active or passive.",
            "a=setup",
            "Send the offer exactly as the browser made it.",
        )
    for other in _bundled(description):
        if not other.rtcp_mux:
            raise refuse(
                "sdp-rtcp-mux",
                "A section does not multiplex RTCP with RTP.",
                "a=rtcp-mux",
                "Offer a=rtcp-mux in every section.",
            )
    credentials = Credentials(section.ice_ufrag, section.ice_password)
    return Remote(credentials, fingerprints, section.setup != "passive")


def _bundled(description: Description) -> list[Section]:
    """Sections that share the one transport: the BUNDLE group, or the only section."""
    sections = [one for one in description.sections if one.kind in ("audio", "video")]
    if description.bundle:
        sections = [one for one in sections if one.mid in description.bundle]
    elif len(sections) > 1:
        raise refuse(
            "sdp-bundle",
            "Several sections without a BUNDLE group.",
            "a=group:BUNDLE",
            "Offer all sections in one BUNDLE group (RFC 9143).",
        )
    if not sections:
        raise refuse(
            "sdp-no-media",
            "No audio or video section can be used.",
            "m=",
            "Offer an audio or video section inside the BUNDLE group.",
        )
    return sections


def accept_publisher(description: Description) -> list[Accepted]:
    """What of a WHIP offer we take. Raises Refused when nothing is left."""
    answer: list[Accepted] = []
    names = {"audio": [VOICE], "video": [CAMERA, SCREEN]}
    usable = {id(section) for section in _bundled(description)}
    for section in description.sections:
        accepted = Accepted(section)
        answer.append(accepted)
        if id(section) not in usable or not section.sends or not names[section.kind]:
            continue
        kept = _kept(section)
        if not kept:
            continue
        accepted.codecs = kept
        accepted.direction = "recvonly"
        accepted.extensions = _extensions(section, _FROM_PUBLISHER)
        if len(section.rids) > MAX_RIDS:
            raise refuse(
                "sdp-simulcast",
                f"More than {MAX_RIDS} simulcast layers.",
                "a=rid",
                f"Offer at most {MAX_RIDS} layers.",
            )
        accepted.track = _track(names[section.kind].pop(0), section, accepted)
    _require_something(answer, description)
    return answer


def accept_viewer(description: Description, lesson: str) -> list[Accepted]:
    """What of a WHEP offer we take. Raises Refused when nothing is left."""
    usable = {id(section) for section in _bundled(description)}
    receiving = [one for one in description.sections if id(one) in usable and one.receives]
    videos = sum(one.kind == "video" and not one.sends for one in receiving) or sum(
        one.kind == "video" for one in receiving
    )
    names = {
        "audio": [VOICE, TALK_VOICE],
        "video": [PROGRAMME] if videos == 1 else [CAMERA, SCREEN, TALK_CAMERA],
    }
    answer: list[Accepted] = []
    for section in description.sections:
        accepted = Accepted(section)
        answer.append(accepted)
        if id(section) not in usable:
            continue
        kept = _kept(section)
        if not kept:
            continue
        if section.receives and names[section.kind]:
            accepted.direction = "sendonly"
            accepted.extensions = _extensions(section, _TO_VIEWER)
            accepted.codecs = kept
            accepted.slot = _slot(names[section.kind].pop(0), section, accepted, lesson)
        elif section.sends:
            # The room's own microphone and camera: a place kept for when it is called on.
            accepted.direction = "recvonly"
            accepted.extensions = _extensions(section, _FROM_PUBLISHER)
            accepted.codecs = kept
    if not any(one.slot for one in answer):
        _require_something([], description)
    return answer


def _require_something(answer: Sequence[Accepted], description: Description) -> None:
    if any(one.track for one in answer):
        return
    offered = sorted(
        {entry.name for section in description.sections for entry in section.maps.values()}
        - {"rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn"}
    )
    raise Refused(
        422,
        "unsupported-codecs",
        f"No section can be used; the offer's codecs are {', '.join(offered) or 'none'}.",
        fix="Offer Opus for the voice and VP8, VP9, H.264 or AV1 for the picture.",
        field="a=rtpmap",
    )


def _kept(section: Section) -> list[RtpMap]:
    """Payload types we take: our codecs, RED around Opus, RTX around what was taken."""
    media = {
        entry.payload_type: entry
        for entry in section.maps.values()
        if str(entry.payload_type) in section.formats
    }
    kept: dict[int, RtpMap] = {}
    for number, entry in media.items():
        if _codec(section.kind, entry) is not None:
            kept[number] = entry
    if not kept:
        return []
    for number, entry in media.items():
        inner = _inner(entry)
        if (entry.name == "rtx" and inner in kept) or (
            entry.name == "red" and section.kind == "audio" and inner in kept
        ):
            kept[number] = entry
    order = [int(one) for one in section.formats if one.isdigit()]
    return [kept[number] for number in order if number in kept]


def _codec(kind: str, entry: RtpMap) -> Codec | None:
    if kind not in ("audio", "video") or entry.name in ("rtx", "red"):
        return None
    name: Kind = "audio" if kind == "audio" else "video"
    codec = Codec(entry.name, name, entry.clock_rate, entry.channels, entry.fmtp)
    return codec if forwarded(codec) else None


def _inner(entry: RtpMap) -> int:
    """The payload type that RTX (apt=) or RED ("111/111") carries, -1 when it names none."""
    text = entry.fmtp.get("apt") or entry.fmtp.get("", "").split("/")[0]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else -1


def _extensions(section: Section, wanted: Sequence[str]) -> dict[str, int]:
    return {uri: section.extensions[uri] for uri in wanted if uri in section.extensions}


def _track(source: str, section: Section, accepted: Accepted) -> TrackSpec:
    codecs: dict[int, Codec] = {}
    rtx: dict[int, int] = {}
    red: dict[int, int] = {}
    feedback: set[str] = set()
    for entry in accepted.codecs:
        codec = _codec(section.kind, entry)
        if codec is not None:
            codecs[entry.payload_type] = codec
            feedback.update(entry.feedback)
        elif entry.name == "rtx":
            rtx[entry.payload_type] = _inner(entry)
        else:
            red[entry.payload_type] = _inner(entry)
    repairs = {second: first for first, second in section.fid_groups}
    return TrackSpec(
        source,
        section.mid,
        section.kind,
        codecs,
        rtx,
        red,
        tuple(section.rids),
        tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairs),
        repairs,
        accepted.extensions,
        nack="nack" in feedback,
        pli="nack pli" in feedback,
    )


def slot_ssrc(lesson: str, slot: str, repair: bool) -> int:
    """The SSRC of a slot: the same for every viewer of a lesson, on every relay, after a restart.

    Each viewer is an RTP session of its own, so equal numbers never meet.
    """
    digest = hashlib.sha256(f"{lesson}/{slot}/{repair}".encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


def _slot(slot: str, section: Section, accepted: Accepted, lesson: str) -> SlotSpec:
    rtx: dict[int, int] = {}
    red: dict[int, int] = {}
    nack = False
    for entry in accepted.codecs:
        if entry.name == "rtx":
            rtx[_inner(entry)] = entry.payload_type
        elif entry.name == "red":
            red[_inner(entry)] = entry.payload_type
    codecs: list[SlotCodec] = []
    for entry in accepted.codecs:
        codec = _codec(section.kind, entry)
        if codec is not None:
            number = entry.payload_type
            codecs.append(SlotCodec(number, codec, rtx.get(number), red.get(number)))
            nack = nack or "nack" in entry.feedback
    return SlotSpec(
        slot,
        section.mid,
        section.kind,
        slot_ssrc(lesson, slot, False),
        slot_ssrc(lesson, slot, True),
        tuple(codecs),
        accepted.extensions,
        nack,
    )


@dataclass(frozen=True, slots=True)
class Local:
    """Our side of an answer. addresses: where the UDP port can be reached, best first."""

    credentials: Credentials
    fingerprint: str
    addresses: tuple[str, ...]
    port: int
    active: bool


def write_answer(answer: Sequence[Accepted], local: Local, session_id: int, stream: str) -> str:
    """The answer's text. stream: media stream id that ties a viewer's slots together."""
    bundle = " ".join(one.section.mid for one in answer if one.codecs)
    lines = [
        "v=0",
        f"o=- {session_id} 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {bundle}",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS *",
        "a=ice-lite",
    ]
    first = True
    for one in answer:
        lines += _section_lines(one, local, stream, with_candidates=first and bool(one.codecs))
        first = first and not one.codecs
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
        f"a=mid:{section.mid}",
        f"a=ice-ufrag:{local.credentials.ufrag}",
        f"a=ice-pwd:{local.credentials.password}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        f"a=setup:{'active' if local.active else 'passive'}",
        f"a={one.direction}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
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
    has_rtx = any(entry.rtx is not None for entry in slot.codecs)
    if has_rtx:
        lines.append(f"a=ssrc-group:FID {slot.ssrc} {slot.rtx_ssrc}")
    lines.append(f"a=ssrc:{slot.ssrc} cname:{stream}")
    if has_rtx:
        lines.append(f"a=ssrc:{slot.rtx_ssrc} cname:{stream}")
    return lines
