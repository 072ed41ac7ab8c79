"""Codes that a school enrols its relay with: made at the central school, read out, typed in once.

Here live their alphabet, how people may write them, and the digest that is kept instead of them.
When a code counts and what it gives belongs to the store and the API. Reads no clock and no file.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

from classroom.errors import Refused

# No letter that looks like another or a digit, and none that a Vietnamese keyboard (Telex, VNI)
# turns into something else: no vowels, no D, W or Y. 25 signs, 10 of them: 46 bits.
ALPHABET: Final = "BCFGHJKMNPQRSTVXZ23456789"
CODE_CHARS: Final = 10
CODE_DAYS: Final = 7.0
_CODE: Final = re.compile(f"[{ALPHABET}]{{{CODE_CHARS}}}")
# RFC 7914: 16 MiB and some 50 ms for each guess at a stolen table of codes.
_COST: Final = {"n": 2**14, "r": 8, "p": 1}


def new_code() -> str:
    """A fresh code, in two halves that are easy to read out: "BCFGH-JKMNP"."""
    signs = "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS))
    return f"{signs[: CODE_CHARS // 2]}-{signs[CODE_CHARS // 2 :]}"


def read_code(text: str) -> str:
    """The ten signs of a code as a person wrote it; raises Refused 400 `code-malformed`."""
    plain = re.sub(r"[\s\-–_.]", "", text).upper()
    if _CODE.fullmatch(plain) is None:
        raise Refused(
            400,
            "code-malformed",
            f"A code has {CODE_CHARS} letters and digits, like BCFGH-JKMNP.",
            fix="Type the code as the central school gave it, without any other sign.",
            field="code",
        )
    return plain


def code_digest(code: str) -> str:
    """What is kept of a code that `read_code` gave. Takes some 50 ms: call it in a thread."""
    # No salt of its own: a code is found by its digest, and it is random, used once, and short-
    # lived. The label sets it apart from digests made elsewhere.
    return hashlib.scrypt(code.encode(), salt=b"classroom relay code", dklen=32, **_COST).hex()


def key_digest(key: str) -> str:
    """What is kept of the random key that came with a code, so that the same relay may ask again
    when the answer was lost on its way."""
    return hashlib.sha256(key.encode()).hexdigest()


def address_proof(digest: str, relay: str, url: str) -> str:
    """What shows that `url` is the word of the relay with this id, whoever passes it on: a MAC
    (RFC 2104) under the digest of its key. 64 hexadecimal digits."""
    return hmac.new(digest.encode(), f"{relay}\n{url}".encode(), hashlib.sha256).hexdigest()
