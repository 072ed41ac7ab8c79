"""From an offer to what the core needs (RFC 9725 WHIP, WHEP, RFC 8829); `answer` words the answer.

The answerer keeps every codec that both sides support, in the offer's order, so that nothing is
renegotiated when a source changes its codec. Publishers: first audio is the voice, first video the
camera, second the screen. Viewers: static slots in the order voice, talk-voice; camera, screen,
talk-camera; a player with one video gets the programme. Refusals name the attribute at fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from classroom.errors import Refused
from relay.media import rtp
from relay.media.codec import (
    H264_DEFAULT_PROFILE,
    Codec,
    H264Profile,
    Kind,
    forwarded,
    h264_profile,
)
from relay.sfu.negotiated import (
    CAMERA,
    PROGRAMME,
    SCREEN,
    TALK_CAMERA,
    TALK_VOICE,
    VOICE,
    FecSpec,
    SlotCodec,
    SlotSpec,
    TrackSpec,
)
from relay.transport.ice import Credentials
from relay.transport.sdp import Description, RtpMap, Section, refuse

_FROM_PUBLISHER: Final = (
    rtp.TRANSPORT_CC,
    rtp.MID,
    rtp.RID,
    rtp.REPAIRED_RID,
    rtp.DEPENDENCY_DESCRIPTOR,
    rtp.VIDEO_ORIENTATION,
)
_TO_VIEWER: Final = (
    rtp.TRANSPORT_CC,
    rtp.DEPENDENCY_DESCRIPTOR,
    rtp.VIDEO_ORIENTATION,
    rtp.PLAYOUT_DELAY,
)
FLEXFEC: Final = "flexfec-03"
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
    """ICE and DTLS parameters of the offer's tagged section (RFC 9143 §7.2). Raises Refused."""
    bundled = _bundled(description)
    section = next(
        (one for mid in description.bundle[:1] for one in description.sections if one.mid == mid),
        bundled[0],
    )
    if description.ice_lite:
        raise Refused(
            422,
            "ice-lite-peer",
            "The offer is of an ICE-lite agent, as this relay is: nobody would send checks.",
            fix="Use a client with full ICE, as browsers are.",
            field="a=ice-lite",
        )
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
    for other in bundled:
        # What is only bundled takes the transport's word for it (RFC 9143 §9.3).
        if not other.rtcp_mux and not (other.bundle_only and not other.port):
            raise refuse(
                "sdp-rtcp-mux",
                "A section does not multiplex RTCP with RTP.",
                "a=rtcp-mux",
                "Offer a=rtcp-mux in every section.",
            )
    credentials = Credentials(section.ice_ufrag, section.ice_password)
    return Remote(credentials, fingerprints, section.setup != "passive")


def _bundled(description: Description) -> list[Section]:
    """Sections that share the one transport: the BUNDLE group, or the only section.

    A section with port 0 is off (RFC 3264 §5.1), unless it says that it has no port of its own.
    """
    sections = [
        one
        for one in description.sections
        if one.kind in ("audio", "video") and (one.port or one.bundle_only)
    ]
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
    if not any(one.track for one in answer):
        raise _nothing(description, any(one.sends for one in description.sections), "send")
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
            accepted.codecs = kept + _repair_formats(section)
            accepted.slot = _slot(names[section.kind].pop(0), section, accepted, lesson)
        elif section.sends:
            # The room's own microphone and camera: a place kept for when it is called on.
            accepted.direction = "recvonly"
            accepted.extensions = _extensions(section, _FROM_PUBLISHER)
            accepted.codecs = kept
    if not any(one.slot for one in answer):
        raise _nothing(description, any(one.receives for one in description.sections), "receive")
    return answer


def _nothing(description: Description, right_direction: bool, verb: str) -> Refused:
    """Why no section can be used: it goes the wrong way, or we know none of its codecs."""
    if not right_direction:
        return Refused(
            422,
            "sdp-direction",
            f"No section of the offer wants to {verb} media.",
            fix="Teachers publish at the address with /whip/, rooms watch at the one with /whep/.",
            field="a=sendonly" if verb == "send" else "a=recvonly",
        )
    offered = sorted(
        {entry.name for section in description.sections for entry in section.maps.values()}
        - {"rtx", "red", "ulpfec", FLEXFEC, "telephone-event", "cn"}
    )
    names = ", ".join(name[:20] for name in offered[:12])
    return Refused(
        422,
        "unsupported-codecs",
        f"No section can be used; the offer's codecs are {names or 'none'}.",
        fix="Offer Opus for the voice and VP8, VP9, H.264 or AV1 for the picture.",
        field="a=rtpmap",
    )


def _kept(section: Section) -> list[RtpMap]:
    """Payload types we take: our codecs, RED around Opus, RTX around what was taken."""
    # RFC 5761 §4: with RTCP on the same port, 64 to 95 would be taken for RTCP.
    media = {
        number: section.maps[number]
        for number in range(128)
        if number in section.maps and not 64 <= number < 96 and str(number) in section.formats
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
    # In the offer's order, each once; formats that are no numbers name none of these.
    order = dict.fromkeys(section.formats)
    by_format = {str(number): entry for number, entry in kept.items()}
    return [by_format[one] for one in order if one in by_format]


def _repair_formats(section: Section) -> list[RtpMap]:
    """The payload type in which a viewer takes FlexFEC, if it does: one, whatever the codec."""
    found = [
        entry
        for number, entry in sorted(section.maps.items())
        if entry.name == FLEXFEC and str(number) in section.formats and not 64 <= number < 96
    ]
    return found[:1] if section.kind == "video" else []


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


def _as_sent(codec: Codec) -> Codec:
    """The codec as its stream will be.

    ffmpeg's muxer offers plain Baseline for what its encoder makes as Constrained Baseline, and no
    encoder of today uses what only the former has (RFC 6184 §8.1: slice groups, redundant slices).
    Most players take the latter alone.
    """
    identifier = codec.fmtp.get("profile-level-id", H264_DEFAULT_PROFILE)
    if codec.name != "h264" or h264_profile(identifier) is not H264Profile.BASELINE:
        return codec
    return replace(codec, fmtp={**codec.fmtp, "profile-level-id": f"42e0{identifier[4:]}"})


def _track(source: str, section: Section, accepted: Accepted) -> TrackSpec:
    codecs: dict[int, Codec] = {}
    rtx: dict[int, int] = {}
    red: dict[int, int] = {}
    feedback: set[str] = set()
    for entry in accepted.codecs:
        codec = _codec(section.kind, entry)
        if codec is not None:
            codecs[entry.payload_type] = _as_sent(codec)
            feedback.update(entry.feedback)
        elif entry.name == "rtx":
            rtx[entry.payload_type] = _inner(entry)
        else:
            red[entry.payload_type] = _inner(entry)
    repairs = {second: first for first, second in section.fid_groups}
    rids = tuple(section.rids)
    unnamed: dict[int, str] = {}
    if not rids and len(section.sim_group) <= MAX_RIDS:
        # Simulcast from before RIDs: the smallest first, as such clients list them.
        unnamed = {ssrc: str(place) for place, ssrc in enumerate(section.sim_group, 1)}
        rids = tuple(unnamed.values())
    return TrackSpec(
        source,
        section.mid,
        section.kind,
        codecs,
        rtx,
        red,
        rids,
        tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairs),
        repairs,
        accepted.extensions,
        nack="nack" in feedback,
        pli="nack pli" in feedback,
        unnamed=unnamed,
    )


def slot_ssrc(lesson: str, slot: str, repair: bool | str) -> int:
    """The SSRC of a slot: the same for every viewer of a lesson, on every relay, after a restart.

    Each viewer is an RTP session of its own, so equal numbers never meet. repair: False for the
    media, True for RTX, "fec" for FlexFEC.
    """
    digest = hashlib.sha256(f"{lesson}/{slot}/{repair}".encode()).digest()
    return int.from_bytes(digest[:4], "big") or 1


def _slot(slot: str, section: Section, accepted: Accepted, lesson: str) -> SlotSpec:
    rtx: dict[int, int] = {}
    red: dict[int, int] = {}
    nack = False
    fec: FecSpec | None = None
    for entry in accepted.codecs:
        if entry.name == FLEXFEC:
            fec = FecSpec(entry.payload_type, slot_ssrc(lesson, slot, "fec"))
        elif entry.name == "rtx":
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
        fec,
    )
