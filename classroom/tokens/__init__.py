"""CONTRACT: access tokens. The control plane signs them, every relay checks them offline.

`claims` says what a token holds and what it allows, `keys` signs and checks. Nothing here reads
a clock, a file or the network: the caller brings `now` and the key set.
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
from classroom.tokens.keys import Signer, Verifier, generate_key

__all__ = [
    "ANY_LESSON",
    "DEFAULT_RIGHTS",
    "Claims",
    "Right",
    "Role",
    "Signer",
    "Verifier",
    "generate_key",
    "require",
    "require_lesson",
]
