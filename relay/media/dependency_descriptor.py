"""The dependency descriptor header extension (AV1 RTP payload specification, appendix A).

Here: reading the descriptor of one packet, with the template structure that the sender attached
last, and putting what it says over a payload's own answer. Works for any codec. Not here: choosing
layers. `Reader` is the state of one incoming stream. Raises only PayloadError.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.media.bits import BitReader
from relay.media.frame_info import PacketInfo, PayloadError
from relay.media.rtp import Buffer

NOT_PRESENT = 0
DISCARDABLE = 1
SWITCH = 2
REQUIRED = 3

MAX_TEMPLATES = 64
_MANDATORY = 3
# Frames whose temporal id is remembered; no reference of a real-time encoder reaches back so far.
_FRAMES_KEPT = 64


@dataclass(frozen=True, slots=True)
class Template:
    """A pattern that frames refer to instead of repeating it."""

    spatial_id: int
    temporal_id: int
    indications: tuple[int, ...] = ()
    """For each decode target: NOT_PRESENT, DISCARDABLE, SWITCH or REQUIRED."""
    frame_diffs: tuple[int, ...] = ()
    """How many frame numbers back each referred frame is."""
    chain_diffs: tuple[int, ...] = ()
    """For each chain: how many frame numbers back its last frame is."""


@dataclass(frozen=True, slots=True)
class Structure:
    """Everything a sender announces with a keyframe."""

    template_offset: int
    decode_targets: int
    templates: tuple[Template, ...]
    protected_by: tuple[int, ...]
    """For each decode target its chain; empty without chains."""
    chains: int
    target_layers: tuple[tuple[int, int], ...]
    """For each decode target the highest (spatial, temporal) id that it holds."""
    resolutions: tuple[tuple[int, int], ...]
    """(width, height) for each spatial id; empty when not announced."""


@dataclass(slots=True)
class Descriptor:
    """One packet's place in its stream."""

    start_of_frame: bool
    end_of_frame: bool
    frame_number: int
    """16 bits."""
    keyframe: bool
    """The first packet of a frame that attaches a structure."""
    temporal_id: int
    spatial_id: int
    layer_sync: bool
    """A viewer may begin to receive this frame's temporal layer here: a keyframe, or a frame above
    the base layer that refers only to layers below its own."""
    indications: tuple[int, ...]
    frame_diffs: tuple[int, ...]
    chain_diffs: tuple[int, ...]
    active_targets: int | None
    """Bit set of decode targets that are sent, when this packet says so."""
    attached: Structure | None
    """The structure, on the packets that carry it."""

    @property
    def discardable(self) -> bool:
        """No decode target needs this frame for another one."""
        return all(each in (NOT_PRESENT, DISCARDABLE) for each in self.indications)

    def apply_to(self, info: PacketInfo) -> None:
        """Put over `info`, as the payload gave it, what the descriptor knows better. The end of
        the frame stays the marker bit's answer."""
        info.start_of_frame = self.start_of_frame and self.spatial_id == 0
        info.keyframe = self.keyframe
        info.temporal_id = self.temporal_id
        info.spatial_id = self.spatial_id
        info.layer_sync = self.layer_sync
        info.discardable = self.discardable


class Reader:
    """Reads the descriptors of one incoming stream and keeps the structure in force."""

    __slots__ = ("_frames", "structure")

    def __init__(self) -> None:
        self._frames = [-1] * _FRAMES_KEPT  # frame number << 3 | temporal id, by frame number
        self.structure: Structure | None = None
        """The last one attached; None before the first keyframe."""

    def read(self, data: Buffer, offset: int, length: int) -> Descriptor | None:
        """The descriptor at `offset`, or None when it refers to a structure never seen (the
        keyframe was lost, or a template is not in the structure we know). Raises PayloadError."""
        if length < _MANDATORY:
            raise PayloadError("dependency descriptor: too short")
        head = data[offset]
        frame_number = data[offset + 1] << 8 | data[offset + 2]
        structure = self.structure
        attached: Structure | None = None
        bits: BitReader | None = None
        active: int | None = None
        flags = 0
        if length > _MANDATORY:
            bits = BitReader(data[offset + _MANDATORY : offset + length])
            flags = bits.read(5)
            if flags & 0x10:
                structure = attached = _read_structure(bits)
                active = (1 << structure.decode_targets) - 1
            if flags & 0x08:
                if structure is None:
                    return None
                active = bits.read(structure.decode_targets)
        if structure is None:
            return None
        index = ((head & 0x3F) - structure.template_offset) % MAX_TEMPLATES
        if index >= len(structure.templates):
            if attached is not None:
                raise PayloadError("dependency descriptor: template not in its structure")
            return None
        template = structure.templates[index]
        indications = template.indications
        frame_diffs = template.frame_diffs
        chain_diffs = template.chain_diffs
        if bits is not None:
            if flags & 0x04:
                indications = tuple(bits.read(2) for _ in range(structure.decode_targets))
            if flags & 0x02:
                frame_diffs = _custom_diffs(bits)
            if flags & 0x01:
                chain_diffs = tuple(bits.read(8) for _ in range(structure.chains))
        if attached is not None:
            self.structure = attached
        keyframe = attached is not None and head >= 0x80
        temporal_id = template.temporal_id
        known = self._frames
        if keyframe:
            known[:] = [-1] * _FRAMES_KEPT
        layer_sync = keyframe
        if temporal_id:
            layer_sync = all(
                self._is_below(frame_number - diff, temporal_id) for diff in frame_diffs
            )
        known[frame_number % _FRAMES_KEPT] = frame_number << 3 | temporal_id
        return Descriptor(
            head >= 0x80,
            head & 0x40 != 0,
            frame_number,
            keyframe,
            temporal_id,
            template.spatial_id,
            layer_sync,
            indications,
            frame_diffs,
            chain_diffs,
            active,
            attached,
        )

    def _is_below(self, frame_number: int, temporal_id: int) -> bool:
        """Whether a frame is known to be of a layer below `temporal_id`."""
        frame_number &= 0xFFFF
        known = self._frames[frame_number % _FRAMES_KEPT]
        return known >> 3 == frame_number and known & 7 < temporal_id


def _custom_diffs(bits: BitReader) -> tuple[int, ...]:
    diffs = []
    while size := bits.read(2):
        diffs.append(bits.read(4 * size) + 1)
    return tuple(diffs)


def _read_structure(bits: BitReader) -> Structure:
    template_offset = bits.read(6)
    targets = bits.read(5) + 1
    layers = _read_layers(bits)
    indications = [tuple(bits.read(2) for _ in range(targets)) for _ in layers]
    diffs = [_template_diffs(bits) for _ in layers]
    chains = bits.non_symmetric(targets + 1)
    protected_by: tuple[int, ...] = ()
    chain_diffs: list[tuple[int, ...]] = [() for _ in layers]
    if chains:
        protected_by = tuple(bits.non_symmetric(chains) for _ in range(targets))
        chain_diffs = [tuple(bits.read(4) for _ in range(chains)) for _ in layers]
    templates = tuple(
        Template(spatial, temporal, indications[index], diffs[index], chain_diffs[index])
        for index, (spatial, temporal) in enumerate(layers)
    )
    target_layers = tuple(
        (
            max((each.spatial_id for each in templates if each.indications[target]), default=0),
            max((each.temporal_id for each in templates if each.indications[target]), default=0),
        )
        for target in range(targets)
    )
    resolutions: tuple[tuple[int, int], ...] = ()
    if bits.flag():
        resolutions = tuple(
            (bits.read(16) + 1, bits.read(16) + 1) for _ in range(layers[-1][0] + 1)
        )
    return Structure(
        template_offset, targets, templates, protected_by, chains, target_layers, resolutions
    )


def _read_layers(bits: BitReader) -> list[tuple[int, int]]:
    """(spatial, temporal) of each template."""
    spatial = temporal = 0
    layers: list[tuple[int, int]] = []
    while True:
        if len(layers) == MAX_TEMPLATES:
            raise PayloadError("dependency descriptor: too many templates")
        layers.append((spatial, temporal))
        step = bits.read(2)
        if step == 1:
            temporal += 1
        elif step == 2:
            temporal = 0
            spatial += 1
        elif step == 3:
            break
        if temporal > 7 or spatial > 3:
            raise PayloadError("dependency descriptor: too many layers")
    return layers


def _template_diffs(bits: BitReader) -> tuple[int, ...]:
    diffs = []
    while bits.read(1):
        diffs.append(bits.read(4) + 1)
    return tuple(diffs)
