"""Offers and answers of the light peers, as text: just what a relay needs to see.

Lives here: building a WHIP or WHEP offer as Chromium would word it, and reading the four facts a
light peer wants from an ICE-lite answer (RFC 8829, RFC 8839). Must not live here: sockets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from relay.media import rtp

EXTENSIONS: Final = {
    rtp.TRANSPORT_CC: 3,
    rtp.MID: 4,
    rtp.ABS_SEND_TIME: 2,
}
"""Header extension → id, the same in every section and for every light peer."""

OPUS: Final = 111
VP8: Final = 96
VP9: Final = 98
H264: Final = 102
PAYLOAD_TYPES: Final = {"opus": OPUS, "vp8": VP8, "vp9": VP9, "h264": H264}
CLOCK_RATES: Final = {OPUS: 48_000, VP8: 90_000, VP9: 90_000, H264: 90_000}

_FMTP: Final = {
    VP9: "profile-id=0",
    H264: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
}
_ENCODINGS: Final = {VP8: "VP8", VP9: "VP9", H264: "H264"}


@dataclass(frozen=True, slots=True)
class Media:
    """One m= section to offer. `ssrc` 0: nothing is sent there (a viewer's section)."""

    kind: str
    direction: str
    codecs: tuple[int, ...]
    ssrc: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What of an answer a light peer needs. `rejected` holds the mids answered with port 0."""

    ufrag: str
    password: str
    fingerprint: tuple[str, str]
    address: tuple[str, int]
    setup: str
    rejected: tuple[str, ...]


def offer(sections: list[Media], ufrag: str, password: str, fingerprint: str) -> str:
    """An offer with `sections`; its mids are 0, 1, 2, …. `fingerprint` is a SHA-256 one."""
    mids = " ".join(str(index) for index in range(len(sections)))
    lines = [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mids}",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS",
    ]
    for index, section in enumerate(sections):
        lines += _section(index, section, ufrag, password, fingerprint)
    return "\r\n".join(lines) + "\r\n"


def _section(index: int, section: Media, ufrag: str, password: str, fingerprint: str) -> list[str]:
    types: list[int] = []
    details: list[str] = []
    for codec in section.codecs:
        types.append(codec)
        if codec == OPUS:
            details += [
                f"a=rtpmap:{codec} opus/48000/2",
                f"a=rtcp-fb:{codec} transport-cc",
                f"a=fmtp:{codec} minptime=10;useinbandfec=1",
            ]
            continue
        types.append(codec + 1)
        details.append(f"a=rtpmap:{codec} {_ENCODINGS[codec]}/90000")
        feedback = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
        details += [f"a=rtcp-fb:{codec} {kind}" for kind in feedback]
        if codec in _FMTP:
            details.append(f"a=fmtp:{codec} {_FMTP[codec]}")
        details += [f"a=rtpmap:{codec + 1} rtx/90000", f"a=fmtp:{codec + 1} apt={codec}"]
    lines = [
        f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, types))}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:actpass",
        f"a=mid:{index}",
        *(f"a=extmap:{number} {uri}" for uri, number in EXTENSIONS.items()),
        f"a={section.direction}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        *details,
    ]
    if section.ssrc:
        lines += [f"a=msid:light {section.kind}{index}", f"a=ssrc:{section.ssrc} cname:light"]
    return lines


def read_answer(text: str) -> Answer:
    """Read an ICE-lite answer. Raises ValueError naming what it lacks."""
    algorithm, value = _find(text, r"a=fingerprint:(\S+) (\S+)")
    host, port = _find(text, r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host")
    rejected = []
    for section in re.split(r"^m=", text, flags=re.MULTILINE)[1:]:
        if section.split(" ", 2)[1] == "0":
            rejected.append(_find(section, r"a=mid:(\S+)")[0])
    return Answer(
        _find(text, r"a=ice-ufrag:(\S+)")[0],
        _find(text, r"a=ice-pwd:(\S+)")[0],
        (algorithm, value),
        (host, int(port)),
        _find(text, r"a=setup:(\S+)")[0],
        tuple(rejected),
    )


def _find(text: str, pattern: str) -> tuple[str, ...]:
    match = re.search(f"^{pattern}", text, flags=re.MULTILINE | re.IGNORECASE)
    if match is None:
        raise ValueError(f"the answer has no line like {pattern}")
    return match.groups()
