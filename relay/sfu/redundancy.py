"""Redundant voice (RFC 2198): a publisher's own fills its losses, and viewers' is made here.

A viewer's packets carry the frame that they were sent for and the newest earlier ones that can be
had: from the layer's cache, or from the publisher's own RED where its packets were lost. What went
out under a number is kept as long as the packet can be asked for again, since a receiver may be
sent only the same bytes (one number, one key stream: RFC 3711 §9.1). Not here: how deep, which
payload types (group, joining). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from relay.media import red, rtp
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.seqno import delta32
from relay.sfu.packet import Received

if TYPE_CHECKING:
    from relay.sfu.layer import Layer

# Numbers looked back for earlier frames beyond the depth: those in between may have been lost.
_REACH: Final = 2
# A packet with its frames stays below every path's MTU, with all headers around it; three frames
# of the longest packet time and 128 kbit/s would not.
_MOST_BYTES: Final = 1_100
# Browsers repeat one or two frames; nobody makes many packets of one.
_MOST_RESTORED: Final = 4


def frame_of(layer: Layer, packet: Received) -> bytes:
    """The one Opus frame that a packet was sent for, out of its RED if there is any."""
    payload = packet.data[packet.payload_offset : packet.payload_end]
    if packet.payload_type in layer.track.red and payload:
        return payload[red.primary(payload, 0, len(payload))[1] :]
    return payload


def repeated_bytes(layer: Layer, packet: Received) -> int:
    """Bytes of `packet` that its room would not be sent: the publisher's own repetition."""
    if packet.payload_type not in layer.track.red or packet.payload_offset == packet.payload_end:
        return 0  # an empty packet is padding
    start = red.primary(packet.data, packet.payload_offset, packet.payload_end)[1]
    return start - packet.payload_offset


def restored(layer: Layer, packet: Received) -> list[Received]:
    """The packets lost just before `packet`, the newest of its layer, as its own RED has them.

    Oldest first, as plain Opus; never one that came. Which number a block stands for follows from
    its distance where packets have one length, else browsers repeat the newest ones (RFC 2198 §3).
    """
    track, before = layer.track, layer.cached(layer.highest)
    if before is None:
        return []
    opus = track.red[packet.payload_type]
    elapsed = delta32(packet.timestamp, before.timestamp)
    step, uneven = divmod(elapsed, packet.sequence - before.sequence)
    made: dict[int, Received] = {}
    sequence = packet.sequence
    for kind, offset, frame in _repeated(packet)[:_MOST_RESTORED]:
        sequence -= 1
        if step > 0 and not uneven and offset % step == 0:
            sequence = packet.sequence - offset // step
        known = not layer.highest < sequence < packet.sequence or sequence in made
        if known or kind != opus or not frame or not 0 < offset < elapsed:
            continue
        timestamp = (packet.timestamp - offset) & 0xFFFFFFFF
        data = rtp.build(opus, False, sequence, timestamp, layer.ssrc, b"", frame)
        made[sequence] = Received(
            sequence,
            data,
            opus,
            False,
            timestamp,
            rtp.HEADER_SIZE,
            len(data),
            0,
            PacketInfo(True, True, True),
            packet.arrived,
        )
    return [made[number] for number in sorted(made)]


def _repeated(packet: Received) -> list[tuple[int, int, bytes]]:
    """Blocks of a RED packet but the primary one, newest first."""
    try:
        return red.parse(packet.data, packet.payload_offset, packet.payload_end)[-2::-1]
    except PayloadError:
        return []  # its primary frame could be found, and that is all that is needed


class Redundancy:
    """payload_type: of the viewer's Opus, as it stands inside RED. depth: earlier frames, 1 or 2.

    Used by one group of viewers; `payload` costs one look into the cache for each earlier frame.
    """

    __slots__ = ("_depth", "_layer", "_made", "_payload_type")

    def __init__(self, layer: Layer, payload_type: int, depth: int) -> None:
        self._layer = layer
        self._payload_type = payload_type
        self._depth = depth
        self._made: dict[int, bytes] = {}
        """Unwrapped number of the layer → payload that went out for it, oldest first."""

    def __len__(self) -> int:
        """Payloads that are kept."""
        return len(self._made)

    def payload(self, packet: Received) -> bytes:
        """The packet's payload as RED: the same bytes however often it is asked for."""
        made = self._made
        found = made.get(packet.sequence)
        if found is None:
            found = made[packet.sequence] = self._build(packet)
            self._forget()
        return found

    def _forget(self) -> None:
        """Let go of what nobody can ask for any more."""
        made, cached = self._made, self._layer.cached
        while len(made) > 1:
            oldest = next(iter(made))
            if cached(oldest) is not None:
                return
            del made[oldest]

    def _build(self, packet: Received) -> bytes:
        frame = frame_of(self._layer, packet)
        number = self._payload_type
        earlier: dict[int, bytes] = {}
        room = _MOST_BYTES - len(frame)
        for distance, one in self._earlier(packet):
            if len(earlier) == self._depth:
                break
            if distance in earlier or not 0 < distance <= red.MAX_TIMESTAMP_OFFSET:
                continue
            if not 0 < len(one) <= min(red.MAX_BLOCK, room):
                continue
            earlier[distance] = one
            room -= len(one)
        blocks = [(number, distance, earlier[distance]) for distance in sorted(earlier)[::-1]]
        return red.build([*blocks, (number, 0, frame)])

    def _earlier(self, packet: Received) -> Iterator[tuple[int, bytes]]:
        """(timestamp units before the packet, frame) of what came before it, newest first."""
        layer, track = self._layer, self._layer.track
        own: list[tuple[int, bytes]] = []
        if packet.payload_type in track.red:
            own = [(offset, frame) for _, offset, frame in _repeated(packet)]
        codec = track.red.get(packet.payload_type, packet.payload_type)
        for sequence in range(packet.sequence - 1, packet.sequence - self._depth - _REACH - 1, -1):
            before = layer.cached(sequence)
            if before is None or track.red.get(before.payload_type, before.payload_type) != codec:
                continue
            distance = delta32(packet.timestamp, before.timestamp)
            while own and own[0][0] < distance:
                yield own.pop(0)
            yield distance, frame_of(layer, before)
        yield from own
