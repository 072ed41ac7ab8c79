"""The one error of everything that reads RTCP.

Here: RtcpError alone, below both rtcp and twcc so that neither needs the other for it.
Not here: any parsing.
"""

from __future__ import annotations


class RtcpError(ValueError):
    """Not RTCP that can be read; the message says where it broke."""
