"""The codecs a relay forwards, and when two descriptions mean the same one.

Here: `Codec`, the list in order of preference, matching as SDP offer and answer need it (H.264 by
RFC 6184 8.2.2, VP9 by RFC 9628 6, AV1 by its RTP specification 7.2), and which payload reader
belongs to a name. Not here: SDP text, payload types, choosing a codec for a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from relay.media import av1, h264, red, vp8, vp9
from relay.media.frame_info import PacketInfo
from relay.media.rtp import Buffer

Kind = Literal["audio", "video"]
PayloadParser = Callable[[Buffer, int, int, bool], PacketInfo]


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec as an SDP rtpmap and fmtp describe it."""

    name: str
    """Lower case: opus, red, vp8, vp9, h264, av1."""
    kind: Kind
    clock_rate: int
    """RTP timestamp units per second."""
    channels: int = 1
    """Always 1 for video."""
    fmtp: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Format parameters, keys in lower case. They count in == but not in the hash."""


class H264Profile(StrEnum):
    """The profiles that RFC 6184 tells apart by profile_idc and the constraint bits."""

    CONSTRAINED_BASELINE = "constrained-baseline"
    BASELINE = "baseline"
    MAIN = "main"
    EXTENDED = "extended"
    HIGH = "high"
    CONSTRAINED_HIGH = "constrained-high"


# (profile_idc, mask, value of the constraint byte under the mask); RFC 6184 table 5 and, for
# constrained high, H.264 A.2.4.2. The first match wins.
_H264_PROFILES: Final = (
    (0x42, 0x4F, 0x40, H264Profile.CONSTRAINED_BASELINE),
    (0x4D, 0x8F, 0x80, H264Profile.CONSTRAINED_BASELINE),
    (0x58, 0xCF, 0xC0, H264Profile.CONSTRAINED_BASELINE),
    (0x42, 0x4F, 0x00, H264Profile.BASELINE),
    (0x58, 0xCF, 0x80, H264Profile.BASELINE),
    (0x4D, 0xAF, 0x00, H264Profile.MAIN),
    (0x58, 0xCF, 0x00, H264Profile.EXTENDED),
    (0x64, 0xFF, 0x00, H264Profile.HIGH),
    (0x64, 0xFF, 0x0C, H264Profile.CONSTRAINED_HIGH),
)
# What a fmtp without profile-level-id means (RFC 6184 8.1): baseline, level 1.
H264_DEFAULT_PROFILE: Final = "420010"


def h264_profile(profile_level_id: str) -> H264Profile | None:
    """The profile in six hexadecimal digits, or None when it is malformed or another one."""
    try:
        number = int(profile_level_id, 16)
    except ValueError:
        return None
    if len(profile_level_id) != 6 or number < 0:
        return None
    profile_idc, constraints = number >> 16, number >> 8 & 0xFF
    for idc, mask, value, profile in _H264_PROFILES:
        if profile_idc == idc and constraints & mask == value:
            return profile
    return None


def _h264(profile_level_id: str, mode: str) -> Codec:
    return Codec(
        "h264",
        "video",
        90_000,
        1,
        MappingProxyType(
            {
                "level-asymmetry-allowed": "1",
                "packetization-mode": mode,
                "profile-level-id": profile_level_id,
            }
        ),
    )


OPUS: Final = Codec(
    "opus", "audio", 48_000, 2, MappingProxyType({"minptime": "10", "useinbandfec": "1"})
)
RED: Final = Codec("red", "audio", 48_000, 2)
VP8: Final = Codec("vp8", "video", 90_000)
VP9: Final = Codec("vp9", "video", 90_000, 1, MappingProxyType({"profile-id": "0"}))
AV1: Final = Codec("av1", "video", 90_000, 1, MappingProxyType({"profile": "0"}))

FORWARDED: Final[tuple[Codec, ...]] = (
    OPUS,
    RED,
    VP8,
    VP9,
    # Level 3.1 is what browsers write; with level asymmetry it says nothing about what is sent.
    _h264("42e01f", "1"),
    _h264("42001f", "1"),
    _h264("4d001f", "1"),
    _h264("64001f", "1"),
    _h264("640c1f", "1"),
    _h264("42e01f", "0"),
    _h264("42001f", "0"),
    _h264("4d001f", "0"),
    _h264("64001f", "0"),
    _h264("640c1f", "0"),
    AV1,
)


def compatible(a: Codec, b: Codec) -> bool:
    """Whether two descriptions are of one codec in the sense of offer and answer. Levels do not
    count; profiles and the H.264 packetization mode do."""
    if a.name != b.name or a.clock_rate != b.clock_rate or a.channels != b.channels:
        return False
    if a.name == "h264":
        profile = _profile_of(a)
        return profile is not None and profile is _profile_of(b) and _mode(a) == _mode(b)
    return _same_profile(a, b)


def can_forward(source: Codec, receiver: Codec) -> bool:
    """Whether a stream sent as `source` may go, bytes unchanged, to one who accepts `receiver`.

    Wider than `compatible` for H.264, where a decoder of one profile may play another that is a
    subset of it (see _PLAYABLE), and a reader of packetization mode 1 also reads mode 0.
    """
    if source.name != "h264" or receiver.name != "h264":
        return compatible(source, receiver)
    if _mode(source) > _mode(receiver):
        return False
    sent, accepted = _profile_of(source), _profile_of(receiver)
    if sent is None or accepted is None:
        return False
    return sent is accepted or sent in _PLAYABLE.get(accepted, ())


_PLAYABLE: Final[Mapping[H264Profile, tuple[H264Profile, ...]]] = {
    H264Profile.BASELINE: (H264Profile.CONSTRAINED_BASELINE,),
    H264Profile.MAIN: (H264Profile.CONSTRAINED_BASELINE,),
    H264Profile.EXTENDED: (H264Profile.CONSTRAINED_BASELINE, H264Profile.BASELINE),
    H264Profile.CONSTRAINED_HIGH: (H264Profile.CONSTRAINED_BASELINE,),
    H264Profile.HIGH: (
        H264Profile.CONSTRAINED_BASELINE,
        H264Profile.MAIN,
        H264Profile.CONSTRAINED_HIGH,
    ),
}


def forwarded(codec: Codec) -> bool:
    """Whether a relay forwards `codec`."""
    return any(compatible(codec, known) for known in FORWARDED)


def _profile_of(codec: Codec) -> H264Profile | None:
    return h264_profile(codec.fmtp.get("profile-level-id", H264_DEFAULT_PROFILE))


def _mode(codec: Codec) -> str:
    return codec.fmtp.get("packetization-mode", "0")


def _same_profile(a: Codec, b: Codec) -> bool:
    key = {"vp9": "profile-id", "av1": "profile"}.get(a.name)
    return key is None or a.fmtp.get(key, "0") == b.fmtp.get(key, "0")


def _parse_voice(data: Buffer, start: int, end: int, marker: bool) -> PacketInfo:
    """Every packet of voice stands alone."""
    return PacketInfo(True, True, True)


def _parse_red(data: Buffer, start: int, end: int, marker: bool) -> PacketInfo:
    """RED around voice; its primary block must be found when a viewer takes no RED."""
    red.primary(data, start, end)
    return PacketInfo(True, True, True)


PAYLOAD_PARSERS: Final[Mapping[str, PayloadParser]] = MappingProxyType(
    {
        "opus": _parse_voice,
        "red": _parse_red,
        "vp8": vp8.parse,
        "vp9": vp9.parse,
        "h264": h264.parse,
        "av1": av1.parse,
    }
)
"""Codec name → `parse(data, payload offset, payload end, marker bit)`; raises PayloadError."""
