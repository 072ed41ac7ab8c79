"""How the service and its worker processes frame what they say on stdin and stdout.

Each request and each answer is its length, then its bytes. It stands here and not with a worker, so
that the service need not load the libraries that the worker decodes and encodes with. What the
bytes mean is said by each worker.
"""

from __future__ import annotations

import struct
from typing import Final

LENGTH: Final = struct.Struct("!I")
