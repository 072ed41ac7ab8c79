"""Sender reports that tell when a piece was due, not when it went out.

Lives here: the sender that a publisher makes of aiortc's. A report ties a timestamp to a moment of
the publisher's clock, and who receives lines lips up with words by it (RFC 3550 §6.4.1). aiortc
takes the moment at which the newest packet was sent. On a busy computer pictures go out later than
they were due, and words do not: they would be recorded that much apart. Must not live here: when a
piece is due (`outlet`).
"""

from __future__ import annotations

from aiortc import RTCRtpSender

from classroom.clock import monotonic
from classroom.host.outlet import PacketTrack

_NTP_SECOND = 2**32  # in NTP's fixed point format


class PunctualSender(RTCRtpSender):
    """A sender of a `PacketTrack`; made of one that a peer connection has, by `make_punctual`."""

    _ntp = 0

    @property
    def _RTCRtpSender__ntp_timestamp(self) -> int:
        return self._ntp

    @_RTCRtpSender__ntp_timestamp.setter
    def _RTCRtpSender__ntp_timestamp(self, sent: int) -> None:
        track = self.track
        late = monotonic() - track.due if isinstance(track, PacketTrack) else 0.0
        self._ntp = sent - round(late * _NTP_SECOND)


def make_punctual(sender: RTCRtpSender) -> None:
    """Let `sender`'s reports speak of the moment at which its newest piece was due."""
    sender.__class__ = PunctualSender
