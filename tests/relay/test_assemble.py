"""Packets to frames: what is whole and decodable is recorded, what is not is left out and told.

Video only, packets by hand or from real encoders; the voice has its own file. Virtual time.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.archive.journal import Gap
from relay.media import rtp
from relay.media.dependency_descriptor import Descriptor
from relay.media.frame_info import PacketInfo
from relay.record.actions import Action, Append, Log, WriteInit
from relay.record.assemble import Continuity, VideoAssembler
from relay.record.cmaf_read import scan
from relay.record.feed import Packet, Record
from relay.record.lesson import LessonRecorder
from relay.record.reorder import Item, Lost, Reorder
from tests.fakes.rtp_media import EPOCH, Sender, encode_video, lesson_records, numbered, track


def run(records: list[Record]) -> list[Action]:
    recorder = LessonRecorder("toan-7", beat_ms=4_000, hold=2.0, stored=None)
    for sequence, record in numbered(records):
        recorder.receive("feed", sequence, record)  # type: ignore[arg-type]  # no Hello in it
    answer(recorder)
    recorder.finish(EPOCH + 100)
    return recorder.take_actions()


def answer(recorder: LessonRecorder) -> None:
    """What a transcoder that hands on the bytes as they are would say."""
    for pipeline, job in recorder.take_jobs():
        pipeline.receive(job, job.data)


def camera(actions: list[Action]) -> list[tuple[int, int]]:
    """(start, duration) of each picture recorded, in ticks."""
    segments: dict[str, bytes] = {}
    for action in actions:
        if isinstance(action, Append) and action.rendition == "camera":
            segments[action.name] = segments.get(action.name, b"") + action.data
    return [(s.start, s.duration) for data in segments.values() for s in scan(data).samples]


def gaps(actions: list[Action]) -> list[Gap]:
    return [a.entry for a in actions if isinstance(a, Log) and isinstance(a.entry, Gap)]


def packets_of(records: list[Record], frame: int) -> list[Packet]:
    """The packets of the camera's frame of this number."""
    video = [r for r in records if isinstance(r, Packet) and r.track == 1]
    stamps = sorted(
        {rtp.parse(p.packet).timestamp for p in video}, key=lambda t: (t - 4_294_900_000) % 2**32
    )
    return [p for p in video if rtp.parse(p.packet).timestamp == stamps[frame]]


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
def test_after_a_loss_pictures_stand_still_until_the_next_keyframe(codec: str) -> None:
    records = lesson_records(6, codec=codec, key_every=60)
    lost = packets_of(records, 75)[0]
    actions = run([r for r in records if r is not lost])
    pictures = camera(actions)
    # Frames 75 to 119 are gone; frame 74 lasts until the keyframe 120.
    assert [start // 3_000 for start, _ in pictures] == [*range(75), *range(120, 180)]
    assert pictures[74] == (74 * 3_000, 46 * 3_000)
    assert gaps(actions) == [Gap("camera", 74 * 3_000, 120 * 3_000, "loss")]


@pytest.mark.parametrize("codec", ["h264", "vp9", "av1"])
def test_a_picture_without_its_end_is_not_recorded_though_no_number_is_missing(codec: str) -> None:
    records = lesson_records(6, codec=codec, key_every=60)
    cut = packets_of(records, 75)[-1]
    unmarked = bytes((cut.packet[0], cut.packet[1] & 0x7F)) + cut.packet[2:]
    actions = run([replace(r, packet=unmarked) if r is cut else r for r in records])
    shown = [start // 3_000 for start, _ in camera(actions)]
    if codec == "h264":
        # Its senders may leave the marker out.
        assert shown == [*range(180)]
        return
    assert shown == [*range(75), *range(120, 180)]
    assert gaps(actions) == [Gap("camera", 74 * 3_000, 120 * 3_000, "loss")]


def test_packets_shuffled_within_the_hold_change_nothing() -> None:
    records = lesson_records(4, codec="h264")
    expected = camera(run(list(records)))
    chance = random.Random(3)
    packets = [
        (i + chance.random() * 30, r) for i, r in enumerate(records) if isinstance(r, Packet)
    ]
    others = [r for r in records if not isinstance(r, Packet)]
    shuffled = [r for _, r in sorted(packets, key=lambda pair: pair[0])]
    assert camera(run([*others[:4], *shuffled, *others[4:]])) == expected


def test_a_change_of_parameter_sets_makes_a_new_initialisation_file() -> None:
    sender = Sender(track(1, "camera", "h264"))
    records: list[Record] = [sender.track, sender.sync(0.0)]
    for index, frame in enumerate(encode_video("h264", 60, 60)):
        records += sender.frame(frame, index / 30)
    for index, frame in enumerate(encode_video("h264", 60, 60, 320, 192)):
        records += sender.frame(frame, 2 + index / 30)
    actions = run(records)
    inits = [a.init for a in actions if isinstance(a, WriteInit)]
    assert [(i.number, i.width, i.height) for i in inits] == [(0, 160, 96), (1, 320, 192)]
    names = {a.name for a in actions if isinstance(a, Append)}
    assert names == {"0.m4s", "0-1.m4s"}
    assert [start for start, _ in camera(actions)] == [n * 3_000 for n in range(120)]


def test_a_layer_switched_off_ends_and_comes_back_with_a_hole() -> None:
    records = lesson_records(4, codec="vp9", ended=False)
    last = [r for r in records if isinstance(r, Packet) and r.track == 1][-1]
    following = rtp.parse(last.packet).sequence_number + 1
    sender = Sender(track(1, "camera", "vp9"), sequence=following)
    frames = encode_video("vp9", 30, 60)
    later = [p for i, f in enumerate(frames) for p in sender.frame(f, 12 + i / 30)]
    actions = run([*records, *later])
    pictures = camera(actions)
    assert len(pictures) == 150
    assert pictures[119] == (119 * 3_000, 3_000)
    assert pictures[120][0] == 12 * 90_000
    assert gaps(actions)[-1] == Gap("camera", 4 * 90_000, 12 * 90_000, "away")


def vp8_item(number: int, tid: int, tl0: int, *, key: bool = False, sync: bool = False) -> Item:
    payload = bytes((0x90, 0x60, tl0, tid << 6 | sync << 5, 0 if key else 1)) + b"x" * 12
    data = rtp.build(96, True, number, number * 3_000, 1, b"", payload)
    return Item(number, 0.0, data, rtp.parse(data))


def test_a_lost_frame_of_a_higher_temporal_layer_costs_only_its_layer() -> None:
    assembler = VideoAssembler(track(1, "camera", "vp8"), resumed=False)
    # Pattern 0 2 1 2: number, temporal id, TL0PICIDX.
    items: list[Item | Lost] = [
        vp8_item(0, 0, 0, key=True),
        vp8_item(1, 2, 0, sync=True),
        vp8_item(2, 1, 0, sync=True),
        vp8_item(3, 2, 0),
        vp8_item(4, 0, 1),
        vp8_item(5, 2, 1, sync=True),
        Lost(1),  # number 6, temporal id 1
        vp8_item(7, 2, 1),
        vp8_item(8, 0, 2),
        vp8_item(9, 2, 2),
        vp8_item(10, 1, 2, sync=True),
        vp8_item(11, 2, 2, sync=True),
        Lost(1),  # number 12: of the base layer
        vp8_item(13, 2, 3, sync=True),
        vp8_item(14, 0, 4),
        vp8_item(16, 0, 6, key=True),
    ]
    got = [frame.sequence for frame in assembler.receive(iter(items))]
    assert got == [0, 1, 2, 3, 4, 5, 8, 10, 11, 16]


def descriptor(number: int, *diffs: int, key: bool = False) -> Descriptor:
    return Descriptor(True, True, number, key, 0, 0, False, (), diffs, (), None, None)


def test_dependency_descriptors_say_exactly_what_is_decodable() -> None:
    continuity = Continuity(started=False)
    info = PacketInfo()

    def accept(number: int, *diffs: int, key: bool = False) -> bool:
        return continuity.accept(key, info, [descriptor(number & 0xFFFF, *diffs, key=key)])

    assert not accept(65_530, 1)
    assert accept(65_533, key=True)
    assert accept(65_534, 1)
    continuity.lose()  # 65535
    assert accept(65_536, 2)
    assert not accept(65_537, 2)
    assert not accept(65_538, 1)
    assert accept(65_539, 3)
    continuity.lose()
    assert accept(65_545, key=True)


@pytest.mark.parametrize("first", [0, 1, 32_767, 32_768, 65_534, 65_535])
def test_reorder_gives_numbers_in_order_across_the_wrap(first: int) -> None:
    reorder = Reorder(2.0)
    got: list[int | Lost] = []
    order = [1, 0, 2, 4, 3, 3, 7, 6, 9, 5]
    for index, step in enumerate(order):
        data = rtp.build(96, False, first + step, 0, 1, b"", b"x")
        reorder.push(Item(index, index * 0.1, data, rtp.parse(data)))
        for item in reorder.take(index * 0.1 + 0.05):
            got.append(
                item if isinstance(item, Lost) else (item.header.sequence_number - first) & 0xFFFF
            )
    assert got == [0, 1, 2, 3, 4, 5, 6, 7]
    assert reorder.first_feed() == 8
    assert list(reorder.take(2.5)) == []
    given = [i if isinstance(i, Lost) else 9 for i in reorder.take(2.9)]
    assert given == [Lost(1), 9]


def test_a_layer_that_was_away_for_minutes_is_not_taken_for_an_old_one() -> None:
    reorder = Reorder(2.0)
    for number, arrival in ((100, 0.0), (101, 0.2), (40_000, 300.0), (40_001, 303.0)):
        data = rtp.build(96, False, number, 0, 1, b"", b"x")
        reorder.push(Item(number, arrival, data, rtp.parse(data)))
    items = [i for i in reorder.take(304.0) if isinstance(i, Item)]
    assert [i.header.sequence_number for i in items] == [100, 101, 40_000, 40_001]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["h264", "vp8", "vp9", "av1", "opus"]),
    st.lists(st.tuples(st.binary(max_size=60), st.booleans(), st.integers(0, 3)), max_size=20),
)
def test_rubbish_in_packets_is_left_out_quietly(
    codec: str, packets: list[tuple[bytes, bool, int]]
) -> None:
    source = "voice" if codec == "opus" else "camera"
    sender = Sender(track(1, source, codec))
    records: list[Record] = [sender.track, sender.sync(0.0)]
    if codec != "opus":
        for index, frame in enumerate(encode_video(codec, 2, 60)):
            records += sender.frame(frame, index / 30)
    for index, (payload, marker, step) in enumerate(packets):
        pt = 63 if step == 3 else sender.track.payload_type
        stamp = sender.timestamp(0.1 + index / 30 * (step > 0))
        data = rtp.build(pt, marker, sender.sequence, stamp, 1, b"", payload)
        sender.sequence += 1
        records.append(Packet(1, EPOCH + 0.2 + index / 30, data))
        records.append(Packet(1, EPOCH + 0.2 + index / 30, payload))
    run(records)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
def test_rubbish_in_vp8_frames_and_from_the_transcoder_is_left_out_quietly(
    frames: list[bytes],
) -> None:
    sender = Sender(track(1, "camera", "vp8"))
    recorder = LessonRecorder("toan-7", beat_ms=4_000, hold=2.0, stored=None)
    records: list[Record] = [sender.track, sender.sync(0.0)]
    for index, data in enumerate(frames):
        payload = b"\x10" + data  # a frame begins; an even first byte says that it is a key
        stamp = sender.timestamp(index / 30)
        packet = rtp.build(sender.track.payload_type, True, sender.sequence, stamp, 1, b"", payload)
        sender.sequence += 1
        records.append(Packet(1, EPOCH + index / 30, packet))
    for sequence, record in numbered(records):
        recorder.receive("feed", sequence, record)  # type: ignore[arg-type]  # no Hello in it
    recorder.advance(EPOCH + 10)
    for pipeline, job in recorder.take_jobs():
        pipeline.receive(job, b"\0\0\0\1" + job.data)
    recorder.finish(EPOCH + 100)
    assert len(camera(recorder.take_actions())) <= len(frames)
