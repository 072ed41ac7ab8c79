"""Reading RTCP compounds (RFC 3550 6, RFC 4585 6, RFC 5104 4.3.1, RFC 3611 4.4 and 4.5).

Here: `parse`, from the bytes of one datagram to the types of rtcp, with every length checked
before it is used. Not here: encryption, acting on anything. Reduced-size compounds (RFC 5506) are
read like full ones; types we do not know are skipped. One malformed packet refuses the whole
compound with RtcpError.
"""

from __future__ import annotations

import struct

from relay.media import twcc
from relay.media.rtcp import (
    BYE,
    FMT_AFB,
    FMT_FIR,
    FMT_NACK,
    FMT_PLI,
    FMT_TWCC,
    PSFB,
    RR,
    RTPFB,
    SDES,
    SR,
    XR,
    XR_DLRR,
    XR_RRTR,
    Bye,
    Fir,
    Nack,
    Packet,
    Pli,
    ReceiverReference,
    ReceiverReport,
    ReferenceReply,
    Remb,
    ReportBlock,
    Sdes,
    SenderReport,
)
from relay.media.rtcp_error import RtcpError
from relay.media.rtp import Buffer

_HEAD = struct.Struct("!BBH")
_U32 = struct.Struct("!I")
_TWO_U32 = struct.Struct("!II")
_THREE_U32 = struct.Struct("!III")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_PAIR = struct.Struct("!HH")


def parse(data: Buffer) -> list[Packet]:
    """The packets of a compound, in order. Raises RtcpError."""
    size = len(data)
    if size < 4:
        raise RtcpError("rtcp: shorter than a header")
    packets: list[Packet] = []
    reported = 0
    offset = 0
    while offset < size:
        if offset + 4 > size:
            raise RtcpError("rtcp: ends inside a header")
        first, kind, words = _HEAD.unpack_from(data, offset)
        if first >> 6 != 2:
            raise RtcpError("rtcp: version is not 2")
        after = offset + 4 + 4 * words
        if after > size:
            raise RtcpError("rtcp: length runs over the datagram")
        end = after
        if first & 0x20:
            padding = data[after - 1]
            if padding == 0 or padding > 4 * words:
                raise RtcpError("rtcp: padding does not fit")
            end -= padding
        count = first & 0x1F
        if kind == RTPFB:
            if count == FMT_TWCC:
                feedback = twcc.parse(data, offset, end)
                reported += len(feedback.arrivals)
                if reported > twcc.MAX_REPORTED:
                    raise RtcpError("rtcp: transport feedback about too many packets")
                packets.append(feedback)
            elif count == FMT_NACK:
                packets.append(_nack(data, offset, end))
        elif kind == RR:
            _need(offset + 8, end)
            packets.append(
                ReceiverReport(
                    _U32.unpack_from(data, offset + 4)[0], _blocks(data, offset + 8, end, count)
                )
            )
        elif kind == PSFB:
            _payload_feedback(packets, data, offset, end, count)
        elif kind == SR:
            _need(offset + 28, end)
            ssrc, ntp_raw, timestamp, sent, octets = _SENDER.unpack_from(data, offset + 4)
            blocks = _blocks(data, offset + 28, end, count)
            packets.append(SenderReport(ssrc, ntp_raw, timestamp, sent, octets, blocks))
        elif kind == XR:
            _extended(packets, data, offset, end)
        elif kind == SDES:
            packets.append(_sdes(data, offset + 4, end, count))
        elif kind == BYE:
            packets.append(_bye(data, offset + 4, end, count))
        offset = after
    return packets


def _need(position: int, end: int) -> None:
    if position > end:
        raise RtcpError("rtcp: packet ends early")


def _blocks(data: Buffer, position: int, end: int, count: int) -> list[ReportBlock]:
    _need(position + 24 * count, end)
    blocks = []
    for _ in range(count):
        ssrc, loss, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(data, position)
        lost = loss & 0xFFFFFF
        if lost >= 0x800000:
            lost -= 0x1000000
        blocks.append(ReportBlock(ssrc, (loss >> 24) / 256, lost, highest, jitter, lsr, dlsr))
        position += 24
    return blocks


def _nack(data: Buffer, offset: int, end: int) -> Nack:
    _need(offset + 16, end)
    if (end - offset) % 4:
        raise RtcpError("rtcp: nack of a broken length")
    sender, media = _TWO_U32.unpack_from(data, offset + 4)
    seqs: list[int] = []
    for position in range(offset + 12, end, 4):
        seq, mask = _PAIR.unpack_from(data, position)
        seqs.append(seq)
        while mask:
            seq += 1
            if mask & 1:
                seqs.append(seq & 0xFFFF)
            mask >>= 1
    return Nack(sender, media, seqs)


def _payload_feedback(packets: list[Packet], data: Buffer, offset: int, end: int, fmt: int) -> None:
    if fmt not in (FMT_PLI, FMT_FIR, FMT_AFB):
        return
    _need(offset + 12, end)
    sender, media = _TWO_U32.unpack_from(data, offset + 4)
    position = offset + 12
    if fmt == FMT_PLI:
        packets.append(Pli(sender, media))
    elif fmt == FMT_FIR:
        if position == end or (end - position) % 8:
            raise RtcpError("rtcp: fir of a broken length")
        entries = []
        for entry in range(position, end, 8):
            ssrc, number = _TWO_U32.unpack_from(data, entry)
            entries.append((ssrc, number >> 24))
        packets.append(Fir(sender, entries))
    elif bytes(data[position : min(position + 4, end)]) == b"REMB":
        _need(position + 8, end)
        word = _U32.unpack_from(data, position + 4)[0]
        count = word >> 24
        _need(position + 8 + 4 * count, end)
        ssrcs = list(struct.unpack_from(f"!{count}I", data, position + 8))
        packets.append(Remb(sender, (word & 0x3FFFF) << (word >> 18 & 0x3F), ssrcs))


def _extended(packets: list[Packet], data: Buffer, offset: int, end: int) -> None:
    _need(offset + 8, end)
    ssrc = _U32.unpack_from(data, offset + 4)[0]
    position = offset + 8
    while position < end:
        _need(position + 4, end)
        kind, _, words = _HEAD.unpack_from(data, position)
        position += 4
        _need(position + 4 * words, end)
        if kind == XR_RRTR:
            if words != 2:
                raise RtcpError("rtcp: receiver reference of a broken length")
            high, low = _TWO_U32.unpack_from(data, position)
            packets.append(ReceiverReference(ssrc, high << 32 | low))
        elif kind == XR_DLRR:
            if words % 3:
                raise RtcpError("rtcp: reference reply of a broken length")
            packets.append(
                ReferenceReply(
                    ssrc,
                    [
                        _THREE_U32.unpack_from(data, entry)
                        for entry in range(position, position + 4 * words, 12)
                    ],
                )
            )
        position += 4 * words


def _sdes(data: Buffer, position: int, end: int, count: int) -> Sdes:
    cnames = []
    for _ in range(count):
        _need(position + 4, end)
        start = position
        ssrc = _U32.unpack_from(data, position)[0]
        position += 4
        while True:
            _need(position + 1, end)
            item = data[position]
            position += 1
            if item == 0:
                break
            _need(position + 1, end)
            length = data[position]
            position += 1
            _need(position + length, end)
            if item == 1:
                text = bytes(data[position : position + length])
                cnames.append((ssrc, text.decode("utf-8", "replace")))
            position += length
        position += -(position - start) % 4
        _need(position, end)
    return Sdes(cnames)


def _bye(data: Buffer, position: int, end: int, count: int) -> Bye:
    _need(position + 4 * count, end)
    ssrcs = list(struct.unpack_from(f"!{count}I", data, position))
    position += 4 * count
    reason = ""
    if position < end:
        length = data[position]
        _need(position + 1 + length, end)
        reason = bytes(data[position + 1 : position + 1 + length]).decode("utf-8", "replace")
    return Bye(ssrcs, reason)
