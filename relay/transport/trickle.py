"""SDP fragments of trickle ICE and ICE restart (RFC 8840, application/trickle-ice-sdpfrag).

An ICE-lite relay needs none of the candidates that a peer trickles: it learns addresses from
checks. So of a fragment only the credentials matter, which tell a restart from a trickle.
"""

from __future__ import annotations

from typing import Final

from relay.transport import sdp
from relay.transport.answer import Local, candidate_lines
from relay.transport.ice import Credentials

MAX_FRAGMENT_BYTES: Final = 16 * 1024


def read_fragment(text: str) -> Credentials | None:
    """The peer's credentials in the fragment, None when it has none. Raises Refused 400."""
    if len(text) > MAX_FRAGMENT_BYTES:
        raise sdp.refuse(
            "sdp-too-large", "The fragment is too large.", "sdpfrag", "Send fewer candidates."
        )
    ufrag = password = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith("a=ice-ufrag:"):
            ufrag = sdp.ice_text(line[12:], "a=ice-ufrag", 4)
        elif line.startswith("a=ice-pwd:"):
            password = sdp.ice_text(line[10:], "a=ice-pwd", 22)
        elif line and line[1:2] != "=":
            raise sdp.refuse(
                "sdp-malformed",
                "The fragment is not of the form x=….",
                "sdpfrag",
                "Send Content-Type application/trickle-ice-sdpfrag.",
            )
    if bool(ufrag) != bool(password):
        raise sdp.refuse(
            "sdp-ice",
            "The fragment has half of the ICE credentials.",
            "a=ice-pwd",
            "Send both a=ice-ufrag and a=ice-pwd.",
        )
    return Credentials(ufrag, password) if ufrag else None


def write_fragment(local: Local, kind: str, mid: str) -> str:
    """Our answer to an ICE restart: new credentials and the candidates once more.

    kind, mid: of the section whose transport the bundle uses; its m= line says nothing else
    (RFC 8840 §4.4 and §9).
    """
    lines = [
        "a=ice-lite",
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 0",
        *([f"a=mid:{mid}"] if mid else []),
        f"a=ice-ufrag:{local.credentials.ufrag}",
        f"a=ice-pwd:{local.credentials.password}",
        *candidate_lines(local),
    ]
    return "\r\n".join(lines) + "\r\n"
