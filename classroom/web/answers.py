"""Answers that a client may keep and need not be sent twice: JSON with an ETag, packed.

The tag is weak (RFC 9110 8.8.1): it stands for what is said, packed or not. What an answer says is
its handler's affair.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from aiohttp import ETag, web

# Below this, packing saves less than a packet.
_PACKED_BYTES: Final = 1024
# Packing a long list takes milliseconds, in which pages and relays are to be served.
_PACKED_ASIDE_BYTES: Final = 32 * 1024


def listed(request: web.Request, document: object) -> web.Response:
    """`document` as JSON; 304 (RFC 9110 13.1.2) to a client that has it."""
    body = json.dumps(document, ensure_ascii=False).encode()
    tag = ETag(hashlib.sha256(body).hexdigest()[:32], is_weak=True)
    known = {each.value for each in request.if_none_match or ()}
    if tag.value in known or "*" in known:
        response = web.Response(status=304)
    else:
        response = web.Response(
            body=body, content_type="application/json", zlib_executor_size=_PACKED_ASIDE_BYTES
        )
        if len(body) > _PACKED_BYTES:
            response.enable_compression()
    response.etag = tag
    # What a token may see is for its holder alone, and is asked anew each time.
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Accept-Encoding, Authorization"
    return response
