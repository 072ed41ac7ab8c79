"""Answers that a client may keep and need not be sent twice: JSON with an ETag, packed.

The tag is weak (RFC 9110 8.8.1): it stands for what is said, packed or not. What an answer says is
its handler's affair.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from aiohttp import ETag, web

# Below this, packing saves less than a packet.
_PACKED_BYTES: Final = 1024
# Packing a long list takes milliseconds, in which pages and relays are to be served.
_PACKED_ASIDE_BYTES: Final = 32 * 1024


@dataclass(frozen=True, slots=True)
class Listed:
    """A body with its tag. `of` may run in a thread: for a long list it takes a while."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, document: object) -> Listed:
        """`document` as JSON."""
        body = json.dumps(document, ensure_ascii=False).encode()
        return cls(body, hashlib.sha256(body).hexdigest()[:32])


def listed(request: web.Request, answer: Listed) -> web.Response:
    """`answer`; 304 (RFC 9110 13.1.2) to a client that has it."""
    tag = ETag(answer.tag, is_weak=True)
    known = {each.value for each in request.if_none_match or ()}
    if tag.value in known or "*" in known:
        response = web.Response(status=304)
    else:
        response = web.Response(
            body=answer.body,
            content_type="application/json",
            zlib_executor_size=_PACKED_ASIDE_BYTES,
        )
        if len(answer.body) > _PACKED_BYTES:
            response.enable_compression()
    response.etag = tag
    # What a token may see is for its holder alone, and is asked anew each time.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Accept-Encoding, Authorization"
    return response
