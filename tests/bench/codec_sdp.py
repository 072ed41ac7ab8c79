"""Making one Chromium receive what another sends in three layers.

Lives here: rewriting of offers and answers between two browsers. Must not live here: connections.
A browser does not accept simulcast. So its offer is shown to the receiver as one section for each
layer, whose id is the layer's RID: the header extension that carries the RID (RFC 8852) is called
the one that carries the section's id (RFC 9143). The answer's first section is shown to the sender
with the line that accepts all layers (RFC 8853).
"""

from __future__ import annotations

import re
from typing import Final

_RID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
_MID_URI: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
_OF_SIMULCAST: Final = ("a=rid:", "a=simulcast:", "a=mid:", "a=msid:", "a=ssrc")


def split_offer(offer: str, rids: list[str]) -> str:
    """The sender's offer as the receiver is to see it: a section for each of `rids`."""
    head, section = _parts(offer)
    kept = [
        line.replace(_RID_URI, _MID_URI)
        for line in section
        if not line.startswith(_OF_SIMULCAST) and not line.endswith(_MID_URI)
    ]
    head = [_bundle(line, rids) for line in head]
    lines = list(head)
    for rid in rids:
        lines += [*kept, f"a=mid:{rid}", f"a=msid:layers {rid}"]
    return "\r\n".join([*lines, ""])


def join_answer(answer: str, offer: str, rids: list[str]) -> str:
    """The receiver's answer to `split_offer(offer, rids)` as the sender is to see it."""
    head, section = _parts(answer)
    found = re.search(r"^a=mid:(\S+)", offer, re.MULTILINE)
    assert found is not None
    mid = found[1]
    lines = [_bundle(line, [mid]) for line in head]
    for line in section:
        if line.startswith("a=mid:"):
            lines.append(f"a=mid:{mid}")
        elif not line.startswith(_OF_SIMULCAST):
            lines.append(line.replace(_MID_URI, _RID_URI))
    lines += [f"a=rid:{rid} recv" for rid in rids]
    lines.append(f"a=simulcast:recv {';'.join(rids)}")
    return "\r\n".join([*lines, ""])


def start_at(answer: str, kilobits: int) -> str:
    """`answer` with the rate at which the sender is to begin, in kbit/s (Chromium's own hint)."""
    found = re.search(r"^m=video \S+ \S+ (\d+)", answer, re.MULTILINE)
    assert found is not None
    hint = f"x-google-start-bitrate={kilobits}"
    told, count = re.subn(rf"(?m)^(a=fmtp:{found[1]} [^\r\n]*)", rf"\1;{hint}", answer, count=1)
    return told if count else answer + f"a=fmtp:{found[1]} {hint}\r\n"


def _parts(sdp: str) -> tuple[list[str], list[str]]:
    """The lines of the session and of its first section."""
    head, first, *_ = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    return head.splitlines(), first.splitlines()


def _bundle(line: str, mids: list[str]) -> str:
    return f"a=group:BUNDLE {' '.join(mids)}" if line.startswith("a=group:BUNDLE") else line
