"""Where the router's output goes: three small protocols that its surroundings implement.

`FanOut` sends media to viewers, `PublisherLink` carries feedback to the one who publishes, and
`Feed` takes every packet for the recording. Browsers and child relays are viewers; the recorder
is a feed. Nothing here is implemented; pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeVar

from relay.media.timeline import Anchor
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.packet import Outgoing, Received

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)

Run: TypeAlias = tuple[Sequence[Outgoing], Sequence[Leg[W]]]
"""Packets, and whom they go to."""


class FanOut(Protocol[W]):
    """Sends packets to many viewers, or one made for one viewer."""

    def fan_out(self, runs: Sequence[Run[W]], now: float) -> None:
        """Of each run every packet to every leg, in order.

        A run is of one group, has one layout, and one size but for its last packet, which may be
        smaller.
        """

    def send_rtp(
        self,
        wire: W,
        packet: bytearray,
        twcc_offset: int,
        now: float,
        *,
        again: bool | None = None,
    ) -> None:
        """One complete packet to one viewer; its transport-wide number is filled in.

        again: it may have left before under this sequence number, and leaves as it did then, or
        not at all (RFC 7714 §8.1). False: it may do so later. None: it never does.
        """

    def send_rtcp(self, wire: W, packet: bytes) -> None:
        """One compound RTCP packet to one viewer or publisher."""


class Feed(Protocol):
    """Takes what is recorded, in the order of its arrival. Must not block."""

    def begin_track(self, lesson: str, layer: Layer, epoch: int) -> None:
        """A layer begins (or changed its codec); its packets follow under its `feed_track`."""

    def anchor(self, layer: Layer, anchor: Anchor) -> None:
        """Packets of this layer from now on are timed by this anchor."""

    def packet(self, layer: Layer, packet: Received) -> None:
        """One packet of a layer that began."""

    def end_track(self, layer: Layer, reason: str) -> None:
        """No more packets of this layer."""
