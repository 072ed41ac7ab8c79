"""What an offer and its answer settled, as the core needs it: tracks of a publisher, slots of a
viewer.

Plain values, made by `relay.transport.offer` and never changed. Payload types are 0 to 127,
SSRCs 32 bits, header extension identifiers 1 to 255. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from relay.media.codec import Codec

VOICE: Final = "voice"
CAMERA: Final = "camera"
SCREEN: Final = "screen"
TALK_VOICE: Final = "talk-voice"
TALK_CAMERA: Final = "talk-camera"
# The one video of a stock WHEP player: the screen while it is shared, else the camera.
PROGRAMME: Final = "programme"


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """One m-line that a publisher sends.

    source: voice, camera or screen. codecs: payload type → codec. rtx: RTX payload type → the
    one it repairs. red: RED payload type → the Opus one inside. rids: simulcast layers as the
    offer orders them, empty for a single encoding. ssrcs: declared media SSRCs. repairs: RTX SSRC
    → media SSRC, where declared. extensions: URI → identifier. nack, pli: whether agreed. unnamed:
    SSRC → the one of `rids` that we gave its layer, since its packets tell none.
    """

    source: str
    mid: str
    kind: str
    codecs: Mapping[int, Codec]
    rtx: Mapping[int, int] = field(default_factory=dict)
    red: Mapping[int, int] = field(default_factory=dict)
    rids: tuple[str, ...] = ()
    ssrcs: tuple[int, ...] = ()
    repairs: Mapping[int, int] = field(default_factory=dict)
    extensions: Mapping[str, int] = field(default_factory=dict)
    nack: bool = True
    pli: bool = True
    unnamed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SlotCodec:
    """A codec as one viewer's slot receives it. rtx, red: payload types, None when not agreed."""

    payload_type: int
    codec: Codec
    rtx: int | None = None
    red: int | None = None


@dataclass(frozen=True, slots=True)
class FecSpec:
    """FlexFEC-03 as one viewer's slot receives it: payload type and SSRC of repair packets."""

    payload_type: int
    ssrc: int


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """One m-line that a viewer receives.

    nack: whether repairs were agreed. fec: how repair packets go out, None when not agreed.
    exact: another relay receives it, with the publisher's timestamps and picture ids as they are.
    """

    slot: str
    mid: str
    kind: str
    ssrc: int
    rtx_ssrc: int
    codecs: tuple[SlotCodec, ...]
    extensions: Mapping[str, int] = field(default_factory=dict)
    nack: bool = True
    fec: FecSpec | None = None
    exact: bool = False

    @property
    def has_rtx(self) -> bool:
        """Whether nothing but empty packets is ever sent again under its own number."""
        return all(codec.rtx is not None for codec in self.codecs)
