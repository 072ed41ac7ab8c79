"""CONTRACT: access tokens. The control plane signs them, every relay checks them offline.

`claims` says what a token holds and what it allows, `keys` signs and checks. `codes` are what a
school's relay gets its first token with, `tries` bounds the guessing. Nothing here reads a clock, a
file or the network: the caller brings `now` and the key set.
"""

from classroom.tokens.claims import (
    ANY_LESSON,
    DEFAULT_RIGHTS,
    Claims,
    Right,
    Role,
    require,
    require_lesson,
)
from classroom.tokens.codes import (
    CODE_DAYS,
    address_proof,
    code_digest,
    key_digest,
    new_code,
    read_code,
)
from classroom.tokens.keys import Signer, Verifier, generate_key, unchecked_claims
from classroom.tokens.tries import Tries, source_of

__all__ = [
    "ANY_LESSON",
    "CODE_DAYS",
    "DEFAULT_RIGHTS",
    "Claims",
    "Right",
    "Role",
    "Signer",
    "Tries",
    "Verifier",
    "address_proof",
    "code_digest",
    "generate_key",
    "key_digest",
    "new_code",
    "read_code",
    "require",
    "require_lesson",
    "source_of",
    "unchecked_claims",
]
