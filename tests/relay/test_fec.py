"""FlexFEC-03: golden masks and packets, and every packet recovered that can be.

The masks are those of libwebrtc's own tests of its header writer; packets are held against a
decoder that knows nothing of the encoder.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.media import fec, rtp
from tests.fakes.flexfec import FecReceiver, read, without_transport
from tests.relay.fuzzing import FUZZ

MEDIA, FEC, TWCC = 0x11223344, 0x55667788, 3


def bits(mask: str) -> int:
    """A mask as libwebrtc's tests write it (first packet first) with bit n for packet n."""
    text = "".join(f"{byte:08b}" for byte in bytes.fromhex(mask))
    return sum(1 << n for n, bit in enumerate(text) if bit == "1")


@pytest.mark.parametrize(
    ("mask", "field"),
    [
        ("1102", "8881"),
        ("910208440084", "488182110021"),
        ("8000", "c000"),
        ("0001", "0000c0000000"),
    ],
)
def test_masks_as_libwebrtc_writes_them(mask: str, field: str) -> None:
    assert fec.pack_mask(bits(mask)).hex() == field


def test_a_mask_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="46"):
        fec.pack_mask(1 << 46)


def media(number: int, size: int, *, marker: bool = False, twcc: int = 7) -> bytes:
    block = rtp.build_extension_block([(TWCC, twcc.to_bytes(2, "big"))])
    payload = bytes((number * 31 + n * 7) & 0xFF for n in range(size))
    return rtp.build(96, marker, number, 90_000 + number * 3_000, MEDIA, block, payload)


def encoder(packets: int, rows: int = 1) -> fec.FecEncoder:
    made = fec.FecEncoder(49, FEC, MEDIA, TWCC)
    made.protect(fec.Protection(packets, rows))
    return made


def test_a_golden_packet() -> None:
    """Two packets of 1 and 3 bytes, by hand: everything is the exclusive or of both."""
    made = fec.FecEncoder(49, FEC, MEDIA, 0)
    made.protect(fec.Protection(2))
    first = rtp.build(96, False, 0xFFFF, 0x01020304, MEDIA, b"", b"\x0f")
    second = rtp.build(97, True, 0x0000, 0x01020300, MEDIA, b"", b"\xf0\xaa\x55")
    assert made.push(first, 0, 0.0) == []
    [packet] = made.push(second, 0, 0.0)
    assert bytes(packet[:4]) == bytes.fromhex("80 31 0000")
    assert bytes(packet[8:12]) == FEC.to_bytes(4, "big")
    assert bytes(packet[12:]) == bytes.fromhex(
        "00 81 0002 00000004"  # flags; types and marker; lengths 1 and 3; timestamps
        "01 000000 11223344 ffff"  # one stream, from 65535
        "e000"  # K, and the first two
        "ff aa 55"
    )


@pytest.mark.parametrize("start", [0, 1, 32767, 32768, 65534, 65535])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_any_loss_of_as_many_in_a_row_as_there_are_rows(start: int, rows: int) -> None:
    packets = [media((start + n) & 0xFFFF, 50 + 37 * n % 400, twcc=n) for n in range(4 * rows)]
    made = encoder(4, rows)
    repairs = [one for packet in packets for one in made.push(packet, 16 + 1, 0.0)]
    assert len(repairs) == rows
    for first in range(len(packets) - rows + 1):
        receiver = FecReceiver(MEDIA, TWCC)
        for index, packet in enumerate(packets):
            if not first <= index < first + rows:
                receiver.receive_media(packet)
        for repair in repairs:
            receiver.receive_repair(bytes(repair))
        assert len(receiver.recovered) == rows
        for packet in packets:
            number = int.from_bytes(packet[2:4], "big")
            assert receiver.media[number] == without_transport(packet, TWCC)


@FUZZ
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1_200), st.booleans()), max_size=120),
    st.integers(2, 20),
    st.integers(1, 8),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**32),
)
def test_whatever_is_sent_what_is_recovered_is_what_was_sent(
    sent: list[tuple[int, int, bool]], packets: int, rows: int, start: int, seed: int
) -> None:
    """Packets of any size, numbers left out, late ones, repeats; a tenth of everything is lost."""
    chance = random.Random(seed)
    made = encoder(packets, rows)
    receiver = FecReceiver(MEDIA, TWCC)
    everything: dict[int, bytes] = {}
    number, now = start, 0.0
    for step, size, marker in sent:
        number = (number + (step if step < 9 else chance.choice((1, -3, 60)))) & 0xFFFF
        packet = everything.setdefault(number, media(number, size, marker=marker))
        now += 0.03
        for repair in made.push(packet, 17, now):
            assert len(repair) <= 12 + 8 + 24 + 1_208
            if chance.random() > 0.1:
                receiver.receive_repair(bytes(repair))
        if chance.random() > 0.1:
            receiver.receive_media(packet)
    for number in receiver.recovered:
        assert receiver.media[number] == without_transport(everything[number], TWCC)


def test_a_block_ends_with_a_frame_when_it_has_lasted_long_enough() -> None:
    made = encoder(20)
    assert made.push(media(0, 100), 17, 0.0) == []
    assert made.push(media(1, 100, marker=True), 17, 0.2) == []
    [repair] = made.push(media(2, 100, marker=True), 17, 0.3)
    assert read(bytes(repair)).numbers == (0, 1, 2)


def test_nothing_is_made_when_nothing_is_wanted() -> None:
    made = encoder(2)
    made.push(media(0, 10), 17, 0.0)
    made.protect(None)
    [last] = made.push(media(1, 10), 17, 0.0)
    assert read(bytes(last)).numbers == (0, 1)
    assert made.push(media(2, 10), 17, 0.0) == []
    made.protect(fec.Protection(2))
    [later] = [one for n in (3, 4) for one in made.push(media(n, 10), 17, 0.0)]
    # One number for one packet, whatever happened between: they are encrypted under it.
    assert (last[3], later[3]) == (0, 1)


def test_a_block_that_was_open_when_nothing_was_wanted_any_more_is_forgotten() -> None:
    made = encoder(2)
    made.push(media(0, 10), 17, 0.0)
    made.protect(None)
    made.protect(fec.Protection(2))
    [repair] = [one for n in (40_000, 40_001) for one in made.push(media(n, 10), 17, 400.0)]
    assert read(bytes(repair)).numbers == (40_000, 40_001)


def test_the_transport_wide_number_has_its_place() -> None:
    made = encoder(2)
    [repair] = [one for n in (0, 1) for one in made.push(media(n, 10), 17, 0.0)]
    repair[made.twcc_offset : made.twcc_offset + 2] = b"\x12\x34"
    at, size = rtp.find_extension(bytes(repair), rtp.parse(bytes(repair)), TWCC) or (0, 0)
    assert repair[at : at + size] == b"\x12\x34"


def test_protection_is_for_links_where_resends_come_too_late() -> None:
    # A round trip fits into the delay: what is lost twice is little.
    assert fec.protection(0.03, 1.0, 0.1, 0.4, 0.5) is None
    assert fec.protection(0.002, 1.0, 0.6, 0.1, 0.5) is None
    assert fec.protection(0.05, 1.0, 0.6, 0.2, 0.0) is None
    far = fec.protection(0.03, 1.0, 0.6, 0.2, 0.5)
    assert far is not None
    assert 2 <= far.packets <= 6
    worse = fec.protection(0.08, 1.0, 0.6, 0.2, 0.5)
    assert worse is not None
    assert worse.overhead > far.overhead
    assert fec.protection(0.08, 1.0, 0.6, 0.2, 0.2) == fec.Protection(5)
    bursts = fec.protection(0.05, 8.0, 0.6, 0.2, 0.5)
    assert bursts is not None
    assert bursts.rows == 8
    assert bursts.rows * bursts.packets <= fec.SPAN


@pytest.mark.parametrize("loss", [0.01, 0.03, 0.05])
def test_what_stays_lost_is_about_the_target(loss: float) -> None:
    wanted = fec.protection(loss, 1.0, 0.8, 0.1, 0.5)
    assert wanted is not None
    chance = random.Random(7)
    made = encoder(wanted.packets, wanted.rows)
    receiver = FecReceiver(MEDIA, TWCC)
    total = 6_000
    for n in range(total):
        packet = media(n, 40, marker=n % 3 == 2)
        if chance.random() > loss:
            receiver.receive_media(packet)
        for repair in made.push(packet, 17, n * 0.01):
            if chance.random() > loss:
                receiver.receive_repair(bytes(repair))
    assert 1 - len(receiver.media) / total < 2 * fec.TARGET
