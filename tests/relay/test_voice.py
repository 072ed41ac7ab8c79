"""The voice's timeline: whole, true to the lesson's clock, and as far repaired as can be.

Packets by hand, through the lesson's recorder where the clock matters; virtual time.
"""

from __future__ import annotations

import itertools
import random

import pytest

from classroom.archive.contents import Contents
from relay.media.timeline import VOICE_STEP, PublisherClock, TrackTimeline
from relay.record import opus
from relay.record.actions import Action, Append, Close
from relay.record.cmaf import STYP
from relay.record.cmaf_read import scan
from relay.record.feed import Packet, Sync
from relay.record.lesson import LessonRecorder
from relay.record.told import Told
from tests.fakes.rtp_media import EPOCH, Encoded, Sender, encode_voice, track

VOICE = encode_voice(200)


def recorded(actions: list[Action]) -> list[tuple[int, bytes]]:
    """(time in samples, packet) of everything in the voice rendition."""
    segments: dict[str, bytes] = {}
    for action in actions:
        if isinstance(action, Append) and action.rendition == "voice":
            segments[action.name] = segments.get(action.name, b"") + action.data
    return [
        (s.start, data[s.offset : s.offset + s.size])
        for data in segments.values()
        for s in scan(data).samples
    ]


def record(sender: Sender, packets: list[Packet], *, hold: float = 2.0) -> list[tuple[int, bytes]]:
    recorder = LessonRecorder("toan-7", beat_ms=8_000, hold=hold, stored=None)
    recorder.receive("feed", 1, sender.track)
    recorder.receive("feed", 2, sender.sync(0.0))
    for sequence, packet in enumerate(packets, 3):
        recorder.receive("feed", sequence, packet)
    recorder.finish(EPOCH + 100)
    return recorded(recorder.take_actions())


def is_filler(packet: bytes) -> bool:
    return len(packet) == 1


def test_packets_that_change_places_or_come_twice_are_put_right() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets = [p for n in range(100) for p in sender.voice(VOICE[n], n)]
    packets[10], packets[13] = packets[13], packets[10]
    packets.insert(20, packets[18])
    assert record(sender, packets) == [(n * 960, VOICE[n]) for n in range(100)]


def test_a_lost_packet_is_concealed_in_its_place() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets = [p for n in range(200) for p in sender.voice(VOICE[n], n)]
    del packets[50:52]
    got = record(sender, packets)
    assert [n for n, (_, packet) in enumerate(got) if is_filler(packet)] == [50, 51]
    assert [time for time, _ in got] == [n * 960 for n in range(200)]
    assert got[50][1] == opus.filler(VOICE[49][0])


def test_a_packet_repaired_within_the_hold_is_in_its_place() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets = [p for n in range(200) for p in sender.voice(VOICE[n], n)]
    late = packets.pop(50)
    packets.insert(120, Packet(1, packets[120].arrival, late.packet))
    assert record(sender, packets) == [(n * 960, VOICE[n]) for n in range(200)]


def test_redundancy_restores_what_was_lost() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets = [sender.red(VOICE[max(0, n - 2) : n + 1], n) for n in range(200)]
    del packets[100:103]
    del packets[50:52]
    got = record(sender, packets)
    assert [n for n, (_, packet) in enumerate(got) if is_filler(packet)] == [100]
    assert [packet for n, (_, packet) in enumerate(got) if n != 100] == [
        data for n, data in enumerate(VOICE) if n != 100
    ]


def test_a_pause_of_discontinuous_transmission_is_filled() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets: list[Packet] = []
    for n in range(200):
        if not 60 <= n < 160 or n % 20 == 0:
            packets += sender.voice(VOICE[n], n)
        # No packet, and no number: the next one follows in sequence.
    got = record(sender, packets)
    assert [time for time, _ in got] == [n * 960 for n in range(200)]
    assert sum(is_filler(packet) for _, packet in got) == 95


def test_a_pause_that_is_no_multiple_of_packets_is_filled_to_the_voice_that_follows() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets = [p for n in range(50) for p in sender.voice(VOICE[n], n)]
    odd = 960 + 480 + 120 + 7
    for n in range(50, 100):
        packets += sender.packets([VOICE[n]], sender.offset + n * 960 + odd, EPOCH + n / 50)
    got = record(sender, packets)
    assert [opus.packet_samples(packet) for _, packet in got[50:53]] == [120, 480, 960]
    assert all(is_filler(packet) for _, packet in got[50:53])
    assert [packet for _, packet in got[53:]] == list(VOICE[50:100])


@pytest.mark.parametrize("jitter", [1, 2, 59])
def test_timestamps_that_jitter_by_a_tick_lose_nothing(jitter: int) -> None:
    """As GStreamer's do, which are rounded from nanoseconds."""
    chance = random.Random(7)
    sender = Sender(track(1, "voice", "opus"))
    recorder = LessonRecorder("toan-7", beat_ms=1_000, hold=2.0, stored=None)
    recorder.receive("feed", 1, sender.track)
    recorder.receive("feed", 2, sender.sync(0.0))
    for n in range(1_500):
        stamp = sender.offset + n * 960 + chance.randint(-jitter, jitter)
        for packet in sender.packets([VOICE[n % 200]], stamp, EPOCH + n / 50):
            recorder.receive("feed", 3 + n, packet)
    recorder.finish(EPOCH + 30)
    actions = recorder.take_actions()
    files: dict[str, bytes] = {}
    contents = Contents()
    for action in actions:
        match action:
            case Append():
                files[action.name] = files.get(action.name, b"") + action.data
            case Close():
                contents.apply(action.segment)
    assert all(scan(data).size == len(data) for data in files.values()), "none counts as torn"
    assert [packet for _, packet in recorded(actions)] == [VOICE[n % 200] for n in range(1_500)]
    segments = contents.rendition("voice").segments
    assert len(segments) == len(files) >= 30
    for one, following in itertools.pairwise(segments):
        assert one.start + one.duration == following.start


@pytest.mark.parametrize("toc", range(0, 256, 4))
def test_every_mode_has_fillers_of_20_ms(toc: int) -> None:
    for samples, packet in opus.fillers(toc, 5 * 960 + 840):
        assert opus.packet_samples(packet) == samples
        assert packet[0] & opus.STEREO_BIT == toc & opus.STEREO_BIT
        if samples == 960 and toc >> 3 < 16:
            assert packet[0] >> 5 == toc >> 5, "its mode and bandwidth stay"


def test_what_a_relay_missed_before_does_not_move_what_it_records_now() -> None:
    """A sound card that is fast: packets were left out, and the relay that came later missed it."""
    whole = Sender(track(1, "voice", "opus"))
    packets = [p for n in range(200) for p in whole.voice(VOICE[n], n)]
    syncs = [(0, whole.sync(0.0))]
    for index in (20, 60):
        stamp = (whole.offset + index * 960) & 0xFFFFFFFF
        wall = EPOCH + index / 50 - 0.020 * len(syncs)
        syncs.append((index, Sync(1, stamp, wall, stamp)))
    got = []
    for first in (0, 100):
        recorder = LessonRecorder("toan-7", beat_ms=1_000, hold=2.0, stored=None)
        recorder.follow(Told(round(EPOCH * 1000), 1_000))
        recorder.receive("feed", 1, whole.track)
        sequence = 2
        for _, sync in syncs:
            recorder.receive("feed", sequence, sync)
            sequence += 1
        for packet in packets[first:]:
            recorder.receive("feed", sequence, packet)
            sequence += 1
        recorder.finish(EPOCH + 100)
        got.append(dict(recorded(recorder.take_actions())))
    late = {at: packet for at, packet in got[1].items() if at >= 100 * 960}
    assert len(late) > 90
    assert late == {at: packet for at, packet in got[0].items() if at >= 100 * 960}


def test_a_publisher_away_for_long_leaves_a_hole() -> None:
    sender = Sender(track(1, "voice", "opus"))
    packets = [p for n in range(50) for p in sender.voice(VOICE[n], n)]
    packets += [p for n in range(1_000, 1_050) for p in sender.voice(VOICE[n - 1_000], n)]
    got = record(sender, packets)
    assert [time for time, _ in got] == [n * 960 for n in (*range(50), *range(1_000, 1_050))]


@pytest.mark.parametrize(
    ("seconds", "toc", "samples", "voice_ppm", "camera_ppm", "anchor_every"),
    [
        (600, 0xFC, 960, 200.0, -200.0, 5.0),
        (7_200, 0x1C, 2_880, -200.0, 200.0, 60.0),
    ],
)
def test_hours_of_drift_leave_voice_and_pictures_within_40_ms(
    seconds: int,
    toc: int,
    samples: int,
    voice_ppm: float,
    camera_ppm: float,
    anchor_every: float,
) -> None:
    """Both sender clocks are wrong, in opposite ways. Every packet of voice and every picture
    carries a number that tells the true second it was captured in."""
    voice = Sender(track(1, "voice", "opus"), ppm=voice_ppm, offset=5)
    camera = Sender(track(2, "camera", "vp9", rid="q"), ppm=camera_ppm, offset=4_294_960_000)
    recorder = LessonRecorder("toan-7", beat_ms=8_000, hold=2.0, stored=None)
    recorder.receive("feed", 1, voice.track)
    recorder.receive("feed", 2, camera.track)
    lines = ((voice, TrackTimeline(48_000, VOICE_STEP)), (camera, TrackTimeline(90_000)))
    clock = PublisherClock()
    sequence, anchored = 3, -anchor_every
    key = _vp9_key()
    said: dict[bytes, float] = {}
    spoken_at: dict[int, float] = {}
    shown_at: dict[int, float] = {}
    lengths: list[int] = []
    voice_number = 0
    worst = 0.0
    for step in range(seconds):
        true = float(step)
        if true - anchored >= anchor_every:
            anchored = true
            for sender, line in lines:
                # A sender report tells the sender's time of now, exactly.
                stamp, now = sender.timestamp(true) & 0xFFFFFFFF, EPOCH + true
                line.receive_packet(stamp, now)
                line.receive_report(stamp, now, clock, now)
                anchor = line.anchors[-1]
                number = sender.track.track
                sync = Sync(number, anchor.rtp_timestamp, anchor.wall, anchor.since)
                recorder.receive("feed", sequence, sync)
                sequence += 1
        for packet in camera.frame(Encoded(step, True, key + step.to_bytes(4, "big")), true):
            recorder.receive("feed", sequence, packet)
            sequence += 1
        length = samples / (48_000 * (1 + voice_ppm / 1e6))
        while voice_number * length < true + 1:
            data = bytes((toc,)) + voice_number.to_bytes(4, "big")
            said[data] = voice_number * length
            for packet in voice.voice(data, voice_number, samples=samples):
                recorder.receive("feed", sequence, packet)
                sequence += 1
            voice_number += 1
        if step % 60 == 59:
            worst = max(worst, _check(recorder.take_actions(), said, spoken_at, shown_at, lengths))
    recorder.finish(EPOCH + seconds)
    worst = max(worst, _check(recorder.take_actions(), said, spoken_at, shown_at, lengths))
    assert len(shown_at) == seconds
    assert len(spoken_at) > 0.99 * seconds * 48_000 / samples
    assert worst < 0.040
    # A player counts samples, so there have to be as many as there was time.
    assert sum(lengths) / 48_000 == pytest.approx(recorder.seconds, abs=1.1)
    assert sum(lengths) / 48_000 == pytest.approx(max(spoken_at.values()), abs=0.061)


def _vp9_key() -> bytes:
    """The header of a VP9 keyframe of 320×180; the rest of the frame is the test's."""
    bits = "10000010" + f"{0x498342:024b}" + "0100" + f"{319:016b}{179:016b}"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") + bytes(20)


def _check(
    actions: list[Action],
    said: dict[bytes, float],
    spoken_at: dict[int, float],
    shown_at: dict[int, float],
    lengths: list[int],
) -> float:
    """The largest difference between when something was and where it is recorded, in seconds."""
    worst = 0.0
    for action in actions:
        if not isinstance(action, Append):
            continue
        data = action.data if action.data.startswith(STYP) else STYP + action.data
        # A fragment alone reads as the first of a segment once its number says so.
        at = data.index(b"mfhd") + 8
        data = data[:at] + (1).to_bytes(4, "big") + data[at + 4 :]
        for sample in scan(data).samples:
            packet = data[sample.offset : sample.offset + sample.size]
            if action.rendition == "voice":
                lengths.append(opus.packet_samples(packet) or 0)
                if not is_filler(packet):
                    place = sample.start / 48_000
                    spoken_at[int.from_bytes(packet[1:], "big")] = place
                    worst = max(worst, abs(place - said.pop(packet)))
            else:
                number = int.from_bytes(packet[-4:], "big")
                shown_at[number] = sample.start / 90_000
                worst = max(worst, abs(shown_at[number] - number))
    return worst
