"""Payloads of one frame joined to what a CMAF sample holds, codec by codec. PURE.

Here: H.264 (RFC 6184) to length-prefixed units without parameter sets, VP8 (RFC 7741) and VP9
(RFC 9628) frames, AV1 to low-overhead OBUs without temporal delimiters. Not here: which packets
make a frame, what is decodable (`assemble`). A joiner may remember parameter sets; nothing else.
Raises PayloadError when a frame cannot be joined.
"""

from __future__ import annotations

import base64
import contextlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.media import av1, h264, vp8, vp9
from relay.media.frame_info import PayloadError
from relay.record.reorder import Item
from relay.record.sample_entries import SampleEntry, av1_entry, h264_entry, vp9_entry

_FILLER = 12
_END_UNITS = (10, 11)
_TILE_LIST = 8
_PADDING = 15


@dataclass(frozen=True, slots=True)
class Joined:
    """data: the sample. entry: its configuration, on keyframes (None for VP8: transcoded)."""

    data: bytes
    key: bool
    entry: SampleEntry | None = None


class Joiner(Protocol):
    """Joins the packets of one frame, in order and complete."""

    def join(self, packets: Sequence[Item]) -> Joined: ...


def joiner(codec: str, fmtp: Mapping[str, str]) -> Joiner | None:
    """The joiner for a codec's short name, None for a codec that is not recorded."""
    match codec:
        case "h264":
            return H264Joiner(fmtp.get("sprop-parameter-sets", ""))
        case "vp8":
            return Vp8Joiner()
        case "vp9":
            return Vp9Joiner()
        case "av1":
            return Av1Joiner()
        case _:
            return None


class Vp8Joiner:
    def join(self, packets: Sequence[Item]) -> Joined:
        data = b"".join(
            item.data[
                vp8.frame_offset(
                    item.data, item.header.payload_offset, item.header.payload_end
                ) : item.header.payload_end
            ]
            for item in packets
        )
        return Joined(data, key=not data[0] & 1)


class Vp9Joiner:
    """Several spatial layers of one picture become a superframe (VP9 bitstream annex B)."""

    def join(self, packets: Sequence[Item]) -> Joined:
        frames: list[bytearray] = []
        for item in packets:
            start, end = item.header.payload_offset, item.header.payload_end
            offset = vp9.frame_offset(item.data, start, end)
            if item.data[start] & 0x08 or not frames:
                frames.append(bytearray())
            frames[-1] += item.data[offset:end]
        entry = None
        if _vp9_is_key(frames[0]):
            entry = vp9_entry(bytes(frames[0][:32]))
        return Joined(_superframe(frames), entry is not None, entry)


def _vp9_is_key(frame: bytearray) -> bool:
    try:
        vp9.parse_keyframe(bytes(frame[:32]))
    except PayloadError:
        return False
    return True


def _superframe(frames: Sequence[bytearray]) -> bytes:
    if len(frames) == 1:
        return bytes(frames[0])
    if len(frames) > 8:
        raise PayloadError("vp9: more than eight layers in a picture")
    width = (max(map(len, frames)).bit_length() + 7) // 8
    marker = bytes((0xC0 | (width - 1) << 3 | len(frames) - 1,))
    sizes = b"".join(len(frame).to_bytes(width, "little") for frame in frames)
    return b"".join(frames) + marker + sizes + marker


class H264Joiner:
    """Keeps the parameter sets that came in the stream, or in the SDP, for the sample entry."""

    def __init__(self, sprop: str = "") -> None:
        self._sequence_sets: dict[bytes, bytes] = {}
        self._picture_sets: dict[bytes, bytes] = {}
        for text in sprop.split(",") if sprop else ():
            # What the SDP says is only a beginning: mostly the sets come in the stream as well.
            # Text that is no base64 is a ValueError, sometimes one of its subclasses.
            with contextlib.suppress(ValueError, PayloadError):
                self._keep(base64.b64decode(text, validate=True))

    def join(self, packets: Sequence[Item]) -> Joined:
        return self._join(_h264_units(packets))

    def join_stream(self, data: bytes) -> Joined:
        """The same from an encoder's byte stream (H.264 annex B)."""
        parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
        return self._join([part.rstrip(b"\0") for part in parts[1:] if part.rstrip(b"\0")])

    def _join(self, found: Sequence[bytes]) -> Joined:
        units: list[bytes] = []
        fresh_sets = False
        for unit in found:
            kind = unit[0] & 0x1F
            if kind in (h264.SPS, h264.PPS):
                if kind == h264.SPS and not fresh_sets:
                    # A new set of sets: those of an earlier resolution do not linger.
                    self._sequence_sets.clear()
                    self._picture_sets.clear()
                    fresh_sets = True
                self._keep(unit)
            elif kind not in (h264.DELIMITER, _FILLER, *_END_UNITS):
                units.append(unit)
        if not units:
            raise PayloadError("h264: a frame without slices")
        key = any(unit[0] & 0x1F == h264.IDR for unit in units)
        entry = None
        if key:
            if not self._sequence_sets or not self._picture_sets:
                raise PayloadError("h264: a keyframe whose parameter sets never came")
            entry = h264_entry(
                list(self._sequence_sets.values()), list(self._picture_sets.values())
            )
        return Joined(b"".join(struct.pack("!I", len(u)) + u for u in units), key, entry)

    def _keep(self, unit: bytes) -> None:
        """Parameter sets are told apart by their first bytes; a stream has one of each, or few."""
        if not unit:
            return
        kind = unit[0] & 0x1F
        if kind == h264.SPS and len(unit) >= 4:
            _add_set(self._sequence_sets, unit, 31)
        elif kind == h264.PPS and len(unit) >= 2:
            _add_set(self._picture_sets, unit, 255)


def _add_set(sets: dict[bytes, bytes], unit: bytes, most: int) -> None:
    """most: that avcC has room for (ISO/IEC 14496-15 5.3.3.1.2)."""
    if unit not in sets and len(sets) >= most:
        raise PayloadError("h264: too many parameter sets")
    sets[unit] = unit


def _h264_units(packets: Sequence[Item]) -> list[bytes]:
    units: list[bytes] = []
    fragment: bytearray | None = None
    for item in packets:
        data, start, end = item.data, item.header.payload_offset, item.header.payload_end
        if data[start] & 0x1F != h264.FU_A:
            if fragment is not None:
                raise PayloadError("h264: a fragmented unit without its end")
            units += [data[at : at + size] for at, size in h264.nal_units(data, start, end)]
            continue
        if end - start < 3:
            raise PayloadError("h264: fragment too short")
        flags = data[start + 1]
        if flags & 0x80:
            fragment = bytearray((data[start] & 0xE0 | flags & 0x1F,))
        if fragment is None:
            raise PayloadError("h264: a fragmented unit without its start")
        fragment += data[start + 2 : end]
        if flags & 0x40:
            units.append(bytes(fragment))
            fragment = None
    if fragment is not None:
        raise PayloadError("h264: a fragmented unit without its end")
    return units


class Av1Joiner:
    """Keeps the sequence header: later keyframes of a stream may leave it out."""

    def __init__(self) -> None:
        self._entry: SampleEntry | None = None

    def join(self, packets: Sequence[Item]) -> Joined:
        units: list[bytearray] = []
        key = False
        for item in packets:
            data, start, end = item.data, item.header.payload_offset, item.header.payload_end
            head = data[start]
            key = key or bool(head & 0x08)
            for index, (offset, length) in enumerate(av1.elements(data, start, end)):
                piece = data[offset : offset + length]
                if index == 0 and head & 0x80:
                    if not units:
                        raise PayloadError("av1: an element without its beginning")
                    units[-1] += piece
                else:
                    units.append(bytearray(piece))
        out = bytearray()
        for unit in units:
            kind, offset, end_of_unit = av1.obu_payload(unit)
            if kind in (av1.TEMPORAL_DELIMITER, _TILE_LIST, _PADDING):
                continue
            sized = _with_size(unit, offset, end_of_unit)
            if kind == av1.SEQUENCE_HEADER:
                key = True
                self._entry = av1_entry(sized)
            out += sized
        if not out:
            raise PayloadError("av1: an empty temporal unit")
        if key and self._entry is None:
            raise PayloadError("av1: a keyframe whose sequence header never came")
        return Joined(bytes(out), key, self._entry if key else None)


def _with_size(unit: bytearray, offset: int, end: int) -> bytes:
    """One OBU with its size field, the form that containers need (AV1 5.2)."""
    head = bytes((unit[0] | 0x02,)) + (bytes(unit[1:2]) if unit[0] & 0x04 else b"")
    return head + av1.write_leb128(end - offset) + bytes(unit[offset:end])
