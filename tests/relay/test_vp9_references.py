"""References of VP9 pictures: what cannot be so is mended, what may be so stays."""

from __future__ import annotations

import pytest

from relay.media import rtp, vp9
from relay.media.codec import VP9
from relay.media.vp9_references import References
from relay.sfu.negotiated import TrackSpec
from relay.sfu.router import Router
from tests.fakes.lesson_viewer import FakeWire
from tests.fakes.lesson_wire import FakeFanOut

START = 3  # bytes before the payload


def packet(
    picture: int, temporal: int, *diffs: int, wide: bool = True, first: bool = True
) -> bytes:
    """The first or a later packet of a picture in flexible mode; without diffs a keyframe."""
    head = 0x80 | 0x20 | 0x10 | (0x40 if diffs else 0) | (0x08 if first else 0)
    number = (0x8000 | picture).to_bytes(2, "big") if wide else bytes((picture,))
    more = [diff << 1 | (index < len(diffs) - 1) for index, diff in enumerate(diffs)]
    return b"rtp" + bytes((head,)) + number + bytes((temporal << 5 | 0x10, *more)) + b"pixels"


def mended(references: References, data: bytes) -> int | None:
    """P_DIFF as it leaves, None for a keyframe; nothing else may change."""
    info = vp9.parse(data, START, len(data), True)
    found = references.mend(data, START, info)
    assert len(found) == len(data)
    if not data[START] & 0x40:
        assert found == data
        return None
    at = START + 1 + (2 if info.picture_id_bits == 15 else 1) + 1
    assert found[:at] + found[at + 1 :] == data[:at] + data[at + 1 :]
    return found[at] >> 1


def after(*pictures: bytes) -> References:
    references = References()
    for data in pictures:
        mended(references, data)
    return references


KEY = packet(100, 0)
GROUP = [packet(101, 2, 1), packet(102, 1, 2), packet(103, 2, 1), packet(104, 0, 4)]


def test_what_is_right_stays() -> None:
    references = after(KEY)
    assert [mended(references, data) for data in GROUP] == [1, 2, 1, 4]
    assert mended(references, packet(108, 0, 8)) == 8  # another base picture: it may be so


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        (packet(105, 0, 3), 1),  # of an upper layer
        (packet(105, 0, 6), 1),  # from before the keyframe
        (packet(105, 1, 2), 1),  # a middle one may not lean on an upper one
        (packet(105, 2, 10), 1),
    ],
)
def test_what_cannot_be_is_the_nearest_that_can(data: bytes, meant: int) -> None:
    assert mended(after(KEY, *GROUP), data) == meant


def test_all_packets_of_a_picture_tell_the_same() -> None:
    references = after(KEY, *GROUP)
    assert mended(references, packet(105, 0, 3)) == 1
    assert mended(references, packet(105, 0, 3, first=False)) == 1


def test_numbers_go_round() -> None:
    for wide, last in ((True, 0x7FFF), (False, 0x7F)):
        references = after(packet(last - 1, 0, wide=wide), packet(last, 2, 1, wide=wide))
        assert mended(references, packet(0, 0, 1, wide=wide)) == 2
        assert mended(references, packet(1, 0, 5, wide=wide)) == 1


def test_nothing_is_changed_where_nothing_is_sure() -> None:
    lost = after(KEY, GROUP[0], GROUP[1], GROUP[3])
    assert mended(lost, packet(105, 0, 2)) == 2  # it may come yet
    gap = after(KEY, GROUP[0], GROUP[2])  # 102 did not come, and 104 not either
    assert mended(gap, packet(105, 0, 9)) == 9
    assert mended(References(), packet(105, 0, 3)) == 3  # no keyframe was seen
    assert mended(after(KEY, *GROUP), packet(105, 0, 3, 1)) == 3  # two references


def test_what_is_kept_is_bounded() -> None:
    references = after(KEY)
    for number in range(101, 2_000):
        assert mended(references, packet(number, 0, 1)) == 1
    assert len(references._layers) < 300


def test_a_publishers_pictures_are_mended_before_anybody_gets_them() -> None:
    spec = TrackSpec("camera", "0", "video", {98: VP9})
    router: Router[FakeWire] = Router("toan-7", FakeFanOut(), None, beat=8.0, now=0.0)
    router.publish("teacher", "teacher", [spec], 0.0)
    sent = [KEY, *GROUP, packet(105, 0, 3)]
    for number, data in enumerate(sent):
        router.receive_rtp(
            rtp.build(98, True, number, 3_000 * number, 7, b"", data[START:]), 0.03 * number
        )
    assert router.publisher is not None
    (layer,) = router.publisher.layers
    last = layer.pictures.packets[-1]
    assert last.data[last.payload_offset :] == packet(105, 0, 1)[START:]
