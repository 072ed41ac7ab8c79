"""Session descriptions (RFC 8866, RFC 8829) read strictly into what an answerer needs.

One pass over the lines, bounded in bytes, lines, sections and codecs, so that a hostile offer
costs little; every refusal names the attribute at fault and what to do. Nothing is decided here:
`offer` turns what was read into tracks and slots, and into our answer. aiortc's sdp module knows
neither RID nor simulcast (RFC 8851, 8853) and fails with assertions, hence our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from classroom.errors import Refused

MAX_SDP_BYTES: Final = 64 * 1024  # a browser's offer with seven sections is about 20 kB
MAX_LINES: Final = 2_000
MAX_SECTIONS: Final = 16
DIRECTIONS: Final = frozenset(("sendrecv", "sendonly", "recvonly", "inactive"))
_ICE_CHARS: Final = re.compile(r"[A-Za-z0-9+/=_-]+\Z")
_TOKEN: Final = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+\Z")
# A line of SDP is a byte string without NUL, CR and LF (RFC 8866 §9); what is echoed in an answer
# must stay one line there.
_NOT_IN_LINES: Final = re.compile(r"[\x00\r]")
_HEX_PAIRS: Final = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+\Z")
FEEDBACK: Final = frozenset(("transport-cc", "goog-remb", "ccm fir", "nack", "nack pli"))
FINGERPRINT_ALGORITHMS: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}


def refuse(code: str, detail: str, line: str, fix: str) -> Refused:
    """A 400 about the SDP; `line` names the attribute."""
    return Refused(400, code, detail, fix=fix, field=line)


@dataclass(slots=True)
class RtpMap:
    """One payload type: encoding name in lower case, clock in Hz, channels, fmtp, feedback."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: dict[str, str] = field(default_factory=dict)
    feedback: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Section:
    """One m= section as read; attributes of the session level are already merged in.

    feedback: payload type or "*", and what was wished for it, as read so far.
    bundle_only: port 0 means that another section's transport is used (RFC 9143 §6), not that
    the section is off. rtcp_rsize: the peer reads reduced-size RTCP (RFC 5506).
    """

    kind: str
    port: int
    protocol: str
    formats: list[str]
    mid: str = ""
    direction: str = ""
    maps: dict[int, RtpMap] = field(default_factory=dict)
    extensions: dict[str, int] = field(default_factory=dict)
    rids: list[str] = field(default_factory=list)
    ssrcs: list[int] = field(default_factory=list)
    fid_groups: list[tuple[int, int]] = field(default_factory=list)
    sim_group: list[int] = field(default_factory=list)
    feedback: set[tuple[str, str]] = field(default_factory=set)
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    bundle_only: bool = False
    ice_ufrag: str = ""
    ice_password: str = ""
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    setup: str = ""
    msid: str = ""

    @property
    def sends(self) -> bool:
        """Whether the offerer wants to send media here."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the offerer wants to receive media here."""
        return self.direction in ("sendrecv", "recvonly")


@dataclass(slots=True)
class Description:
    """A whole description: its sections, the mids of its BUNDLE group in order, and whether the
    peer is an ICE-lite agent, which never sends checks."""

    sections: list[Section]
    bundle: list[str]
    ice_lite: bool = False


def parse(text: str) -> Description:
    """Read an offer or answer. Raises Refused 400 with a code beginning `sdp-`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SDP_BYTES:
        raise Refused(
            413,
            "sdp-too-large",
            f"The SDP is larger than {MAX_SDP_BYTES} bytes.",
            fix="Offer fewer sections and codecs.",
            field="body",
        )
    lines = text.replace("\r\n", "\n").split("\n")
    if _NOT_IN_LINES.search(text.replace("\r\n", "\n")):
        raise refuse(
            "sdp-malformed",
            "The SDP holds a NUL or a lone carriage return.",
            "sdp",
            "Send the offer exactly as the browser made it.",
        )
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) > MAX_LINES:
        raise refuse(
            "sdp-too-long",
            f"The SDP has more than {MAX_LINES} lines.",
            "sdp",
            "Offer fewer sections and codecs.",
        )
    if not lines or lines[0] != "v=0":
        raise refuse(
            "sdp-malformed",
            "The body is not an SDP: it does not begin with v=0.",
            "v=",
            "Send the offer as Content-Type application/sdp.",
        )
    session = Section("session", 0, "", [])
    description = Description([], [])
    current = session
    # What refers to a payload type waits for its rtpmap, which may stand below it.
    waiting: list[tuple[str, str, Section]] = []
    for kind, value in _fields(lines):
        if kind == "m":
            if len(description.sections) >= MAX_SECTIONS:
                raise refuse(
                    "sdp-too-many-sections",
                    f"The SDP has more than {MAX_SECTIONS} sections.",
                    "m=",
                    "Offer at most one section for each slot.",
                )
            current = _media_line(value)
            description.sections.append(current)
        elif kind == "a":
            name, _, rest = value.partition(":")
            if name in _AFTER_MAPS:
                waiting.append((name, rest, current))
            else:
                _attribute(name, rest, current, description if current is session else None)
    for name, rest, section in waiting:
        _AFTER_MAPS[name](rest, section)
    for section in description.sections:
        _inherit(section, session)
    if not description.sections:
        raise refuse(
            "sdp-no-media",
            "The SDP has no m= section.",
            "m=",
            "Offer at least one audio or video section.",
        )
    return description


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if len(line) < 2 or line[1] != "=":
            raise refuse(
                "sdp-malformed",
                f"Line {number} of the SDP is not of the form x=….",
                f"line {number}",
                "Send the offer exactly as the browser made it.",
            )
        yield line[0], line[2:]


def _media_line(value: str) -> Section:
    parts = value.split(" ")
    if len(parts) < 4 or not _is_number(parts[1].partition("/")[0], 65_535):
        raise refuse(
            "sdp-malformed",
            "An m= line is incomplete.",
            "m=",
            "Send the offer exactly as the browser made it.",
        )
    if len(parts) > 3 + 128:
        raise refuse(
            "sdp-malformed",
            "An m= line has more payload types than exist.",
            "m=",
            "Offer each payload type once.",
        )
    return Section(parts[0], int(parts[1].partition("/")[0]), parts[2], parts[3:])


def _inherit(section: Section, session: Section) -> None:
    section.direction = section.direction or session.direction or "sendrecv"
    section.ice_ufrag = section.ice_ufrag or session.ice_ufrag
    section.ice_password = section.ice_password or session.ice_password
    section.fingerprints = section.fingerprints or session.fingerprints
    section.setup = section.setup or session.setup
    for uri, number in session.extensions.items():
        section.extensions.setdefault(uri, number)


def _attribute(name: str, rest: str, section: Section, description: Description | None) -> None:
    if name in DIRECTIONS and not rest:
        section.direction = name
    elif name == "mid":
        section.mid = _token(rest, "a=mid", 32)
    elif name == "group" and description is not None:
        semantics, *mids = rest.split() or [""]
        if semantics == "BUNDLE" and not description.bundle:
            description.bundle = [_token(mid, "a=group", 32) for mid in mids]
    elif name == "ice-lite" and description is not None:
        description.ice_lite = True
    elif name == "rtcp-mux":
        section.rtcp_mux = True
    elif name == "rtcp-rsize":
        section.rtcp_rsize = True
    elif name == "bundle-only":
        section.bundle_only = True
    elif name == "ice-ufrag":
        section.ice_ufrag = ice_text(rest, "a=ice-ufrag", 4)
    elif name == "ice-pwd":
        section.ice_password = ice_text(rest, "a=ice-pwd", 22)
    elif name == "fingerprint":
        section.fingerprints.append(_fingerprint(rest))
    elif name == "setup":
        section.setup = rest
    elif name == "msid":
        section.msid = rest[:256]
    elif name in _READERS:
        _READERS[name](rest, section)


def _rtpmap(rest: str, section: Section) -> None:
    number, _, encoding = rest.partition(" ")
    parts = encoding.split("/")
    if not _is_number(number, 127) or len(parts) < 2 or not _is_number(parts[1], 1_000_000):
        raise _malformed("a=rtpmap")
    channels = int(parts[2]) if len(parts) > 2 and _is_number(parts[2], 255) else 1
    section.maps[int(number)] = RtpMap(int(number), parts[0].lower(), int(parts[1]), channels)


def _fmtp(rest: str, section: Section) -> None:
    number, _, parameters = rest.partition(" ")
    if not _is_number(number, 127):
        raise _malformed("a=fmtp")
    entry = section.maps.get(int(number))
    if entry is None:
        return
    for parameter in parameters.split(";"):
        key, equals, value = parameter.strip().partition("=")
        if key:
            # RED (RFC 2198) writes "111/111" without a name; it is kept under the empty key.
            if equals:
                entry.fmtp[key.lower()] = value
            else:
                entry.fmtp[""] = key


def _rtcp_fb(rest: str, section: Section) -> None:
    number, _, feedback = rest.partition(" ")
    if number != "*" and not _is_number(number, 127):
        raise _malformed("a=rtcp-fb")
    wanted = feedback.strip().lower()
    # What we do not know could not be agreed, and each line is read once: a hostile offer with
    # thousands of them for every codec must not hold up the media of others.
    if wanted not in FEEDBACK or (number, wanted) in section.feedback:
        return
    section.feedback.add((number, wanted))
    for payload_type, entry in section.maps.items():
        if (number == "*" or payload_type == int(number)) and wanted not in entry.feedback:
            entry.feedback.append(wanted)


def _extmap(rest: str, section: Section) -> None:
    number, _, tail = rest.partition(" ")
    identifier, _, direction = number.partition("/")
    # RFC 8285 §5: 1 to 14 for one-byte headers, up to 255 for two-byte ones.
    if not _is_number(identifier, 255) or int(identifier) == 0 or not tail:
        raise _malformed("a=extmap")
    if direction != "inactive":
        section.extensions[tail.split(" ")[0]] = int(identifier)


def _rid(rest: str, section: Section) -> None:
    parts = rest.split(" ")
    if len(parts) < 2:
        raise _malformed("a=rid")
    rid = _token(parts[0], "a=rid", 16)
    if parts[1] == "send" and rid not in section.rids and len(section.rids) < 8:
        section.rids.append(rid)


def _ssrc(rest: str, section: Section) -> None:
    number = rest.split(" ")[0]
    if not _is_number(number, 0xFFFFFFFF):
        raise _malformed("a=ssrc")
    if int(number) not in section.ssrcs and len(section.ssrcs) < 32:
        section.ssrcs.append(int(number))


def _ssrc_group(rest: str, section: Section) -> None:
    semantics, *numbers = rest.split(" ")
    if semantics == "FID" and len(numbers) == 2:
        if not all(_is_number(number, 0xFFFFFFFF) for number in numbers):
            raise _malformed("a=ssrc-group")
        section.fid_groups.append((int(numbers[0]), int(numbers[1])))
    if semantics == "SIM" and 1 < len(numbers) <= 8 and not section.sim_group:
        if not all(_is_number(number, 0xFFFFFFFF) for number in numbers):
            raise _malformed("a=ssrc-group")
        section.sim_group = [int(number) for number in numbers]


_READERS: Final = {
    "rtpmap": _rtpmap,
    "extmap": _extmap,
    "rid": _rid,
    "ssrc": _ssrc,
    "ssrc-group": _ssrc_group,
}
_AFTER_MAPS: Final = {"fmtp": _fmtp, "rtcp-fb": _rtcp_fb}


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most


def _malformed(line: str) -> Refused:
    return refuse(
        "sdp-malformed",
        f"An {line} line of the SDP is malformed.",
        line,
        "Send the offer exactly as the browser made it.",
    )


def _token(text: str, line: str, most: int) -> str:
    if not 0 < len(text) <= most or not _TOKEN.match(text):
        raise _malformed(line)
    return text


def ice_text(text: str, line: str, least: int) -> str:
    """ICE credentials as they may stand in an SDP line named `line`. Raises Refused 400."""
    # RFC 8839 §5.4 allows ice-chars only; "=", "-" and "_" are accepted because peers use them.
    if not least <= len(text) <= 256 or not _ICE_CHARS.match(text):
        raise refuse(
            "sdp-ice",
            f"{line} must be {least} to 256 ice-chars.",
            line,
            "Send the credentials that the browser generated.",
        )
    return text


def _fingerprint(text: str) -> tuple[str, str]:
    algorithm, _, value = text.partition(" ")
    algorithm = algorithm.lower()
    size = FINGERPRINT_ALGORITHMS.get(algorithm)
    if size is None:
        return algorithm[:16], ""
    if not _HEX_PAIRS.match(value) or len(value) != size * 3 - 1:
        raise refuse(
            "sdp-fingerprint",
            "a=fingerprint is not the hash that it names.",
            "a=fingerprint",
            "Send the offer exactly as the browser made it.",
        )
    return algorithm, value.upper()
