"""What the parser tests share: how hard to fuzz, and where number scripts start.

Not here: any knowledge of a format. Examples are few enough for the whole suite to stay quick; no
deadline, because the machine may be busy.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

FUZZ = settings(max_examples=300, deadline=None)

STARTS = (0, 1, 32767, 32768, 65534, 65535)
"""16-bit numbers from which every script of sequence numbers is run."""

datagrams = st.binary(max_size=200)
