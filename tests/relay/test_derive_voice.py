"""The thin voice: what order and losses make of packets, and speech through real Opus twice.

Here: the pure order from every start of the numbers, then real speech. Not here: the process
around it (tests/live/test_derived).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.audio.codeccontext import AudioCodecContext

from relay.derive.voice import FLUSH_SECONDS, FRAME, ThinVoice
from relay.derive.voice_order import FAR, Piece, VoiceOrder
from relay.media import red, rtp
from relay.record import opus
from tests.fakes.rtp_media import track
from tests.media import voice_samples

STARTS = (0, 1, 32767, 32768, 65534, 65535)
STEP = 960
VOICE = track(7, "voice", "opus")


def word(number: int) -> bytes:
    """A packet of 20 ms that says which it is."""
    return bytes((opus.MONO_20_MS, number & 0xFF, number >> 8))


def packet(
    number: int,
    data: bytes,
    start: int = 0,
    *,
    time: int | None = None,
    before: Sequence[bytes] = (),
) -> bytes:
    """Voice packet `number`; before: redundancy, oldest first. time: in ticks, else as usual."""
    timestamp = (start << 16) + (number * STEP if time is None else time)
    payload_type = 111
    if before:
        blocks = [(111, (len(before) - index) * STEP, block) for index, block in enumerate(before)]
        data, payload_type = red.build([*blocks, (111, 0, data)]), 63
    return rtp.build(payload_type, False, start + number, timestamp, 1, b"", data)


def told(order: VoiceOrder, packets: Sequence[bytes]) -> list[Piece]:
    return [piece for one in packets for piece in order.receive(one)]


def said(pieces: Sequence[Piece]) -> list[int | None]:
    """The words; None for one that is concealed."""
    return [
        int.from_bytes(one.data[1:3], "little") if len(one.data) == 3 else None for one in pieces
    ]


def contiguous(pieces: Sequence[Piece]) -> bool:
    ends = [one.timestamp + one.samples for one in pieces]
    return all(one.timestamp == end for one, end in zip(pieces[1:], ends, strict=False))


@pytest.mark.parametrize("start", STARTS)
def test_a_packet_in_order_is_given_at_once(start: int) -> None:
    order = VoiceOrder(VOICE)
    for number in range(10):
        (piece,) = order.receive(packet(number, word(number), start))
        assert said([piece]) == [number]
        assert not piece.after_pause


@pytest.mark.parametrize("start", STARTS)
def test_two_that_changed_places_change_back_and_repeats_are_dropped(start: int) -> None:
    order = VoiceOrder(VOICE)
    numbers = [0, 2, 1, 1, 3, 2, 5, 4, 0, 6]
    pieces = told(order, [packet(n, word(n), start) for n in numbers])
    assert said(pieces) == list(range(7))
    assert contiguous(pieces)
    assert order.concealed == 0


@pytest.mark.parametrize("start", STARTS)
def test_a_loss_is_waited_for_60_ms_and_then_concealed(start: int) -> None:
    order = VoiceOrder(VOICE)
    told(order, [packet(0, word(0), start)])
    assert told(order, [packet(2, word(2), start), packet(3, word(3), start)]) == []
    pieces = told(order, [packet(4, word(4), start), packet(5, word(5), start)])
    assert said(pieces) == [None, 2, 3, 4, 5]
    assert contiguous(pieces)
    assert order.concealed == STEP
    # It comes after all, and is of no use any more.
    assert told(order, [packet(1, word(1), start)]) == []


@pytest.mark.parametrize("start", STARTS)
def test_redundancy_restores_at_once(start: int) -> None:
    order = VoiceOrder(VOICE)
    packets = [packet(n, word(n), start, before=[word(n - 2), word(n - 1)]) for n in range(2, 12)]
    pieces = told(order, [one for n, one in enumerate(packets) if n not in (3, 4, 7)])
    assert said(pieces) == list(range(2, 12))
    assert contiguous(pieces)
    assert order.concealed == 0


def test_a_pause_is_no_loss() -> None:
    order = VoiceOrder(VOICE)
    pieces = told(order, [packet(0, word(0)), packet(1, word(1), time=20 * STEP)])
    assert said(pieces) == [0, 1]
    assert [one.after_pause for one in pieces] == [False, True]


def test_after_an_outage_only_its_beginning_is_concealed() -> None:
    order = VoiceOrder(VOICE)
    pieces = told(order, [packet(0, word(0)), packet(100, word(100)), packet(101, word(101))])
    assert said(pieces) == [0, *[None] * 6, 100, 101]
    assert [one.after_pause for one in pieces[-2:]] == [True, False]


def test_timestamps_from_elsewhere_begin_anew() -> None:
    order = VoiceOrder(VOICE)
    told(order, [packet(0, word(0)), packet(1, word(1))])
    pieces = told(
        order, [packet(2, word(2), time=2 * FAR), packet(3, word(3), time=2 * FAR + STEP)]
    )
    assert said(pieces) == [2, 3]
    assert order.concealed == 0


@pytest.mark.parametrize("data", [b"", b"\x80", bytes(11), packet(1, b""), packet(1, b"\xff")])
def test_rubbish_is_passed_over(data: bytes) -> None:
    order = VoiceOrder(VOICE)
    told(order, [packet(0, word(0)), data])
    assert 2 in said(told(order, [packet(2, word(2)), packet(3, word(3)), packet(4, word(4))]))


# Real speech

Sound = npt.NDArray[np.float64]


@cache
def speech() -> tuple[bytes, ...]:
    """Spoken words as a teacher's browser sends them: 20 ms, mono, 32 kbit/s."""
    samples = (voice_samples() * 32_767).astype(np.int16)
    encoder = _voice("w")
    encoder.bit_rate, encoder.time_base = 32_000, Fraction(1, 48_000)
    encoder.options = {"application": "voip", "frame_duration": "20"}
    out: list[bytes] = []
    for at in range(0, min(len(samples), 5 * 48_000) - STEP, STEP):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + STEP], "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, at
        out += [bytes(one) for one in encoder.encode(frame)]
    return tuple(out)


def _voice(mode: str) -> AudioCodecContext:
    context = av.CodecContext.create("libopus", "w" if mode == "w" else "r")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = 48_000, "mono", av.AudioFormat("s16")
    return context


def heard(packets: Sequence[bytes], length: int) -> Sound:
    """What a room hears, each packet where its timestamp says."""
    decoder = _voice("r")
    out = np.zeros(length + FRAME)
    for one in packets:
        header = rtp.parse(one)
        for frame in decoder.decode(av.Packet(one[header.payload_offset : header.payload_end])):
            samples = frame.to_ndarray().ravel()
            at = header.timestamp
            out[at : at + len(samples)] = samples[: max(0, len(out) - at)]
    return out[:length]


def envelope(sound: Sound) -> Sound:
    """Loudness in steps of 10 ms."""
    steps = np.abs(sound[: len(sound) // 480 * 480]).reshape(-1, 480).mean(axis=1)
    assert isinstance(steps, np.ndarray)
    return steps


def likeness(a: Sound, b: Sound) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def thin(numbers: Sequence[int], voice: ThinVoice | None = None) -> list[bytes]:
    """The thin voice of these packets of the speech."""
    voice = voice or ThinVoice(VOICE, 7)
    packets = speech()
    return [
        one
        for number in numbers
        for one in voice.receive(packet(number, packets[number]), number * 0.02)
    ]


def original() -> Sound:
    return heard(
        [packet(number, data) for number, data in enumerate(speech())], len(speech()) * STEP
    )


def test_speech_stays_what_it_was_in_a_third_of_the_packets() -> None:
    out = thin(range(len(speech())))
    times = [rtp.parse(one).timestamp for one in out]
    assert times == [number * FRAME for number in range(len(speech()) // 3)]
    payload = sum(len(one) - rtp.HEADER_SIZE for one in out)
    assert 15_000 < payload * 8 / (len(out) * 0.06) < 24_500
    assert all(opus.packet_samples(one[rtp.HEADER_SIZE :]) == FRAME for one in out)
    before = original()
    after = heard(out, len(before))
    assert likeness(envelope(before), envelope(after)) > 0.97
    # The wave itself, behind by the 6.5 ms that an Opus encoder looks ahead.
    assert likeness(before[:-312], after[312:]) > 0.85


def test_most_packets_carry_a_copy_of_the_frame_before() -> None:
    """In-band correction: the flag behind the three voice activity flags (RFC 6716 §4.2.3)."""
    payloads = [one[rtp.HEADER_SIZE :] for one in thin(range(len(speech())))]
    silk = [data for data in payloads if data[0] >> 3 < 12]
    assert len(silk) > 0.9 * len(payloads)
    assert sum(bool(data[1] & 0x10) for data in silk) > 0.5 * len(silk)


def test_a_frame_leaves_with_the_packet_that_completes_it() -> None:
    voice = ThinVoice(VOICE, 7)
    counts = [len(thin([number], voice)) for number in range(30)]
    assert counts == [0, 0, 1] * 10


def test_losses_cost_what_was_lost_and_nothing_after_it() -> None:
    lost = {20, 60, 61, 100, 150}
    voice = ThinVoice(VOICE, 7)
    numbers = [number for number in range(len(speech())) if number not in lost]
    out = thin(numbers, voice)
    times = [rtp.parse(one).timestamp for one in out]
    assert times == [number * FRAME for number in range(len(times))]
    assert voice.concealed == pytest.approx(0.02 * len(lost))
    before = original()
    assert likeness(envelope(before), envelope(heard(out, len(before)))) > 0.93


def test_the_end_of_a_word_does_not_wait_for_the_next_word() -> None:
    voice = ThinVoice(VOICE, 7)
    assert thin([0, 1, 2, 3], voice) != []
    assert voice.get_timer() == pytest.approx(3 * 0.02 + FLUSH_SECONDS)
    assert voice.handle_timer(0.1) == []
    (rest,) = voice.handle_timer(0.2)
    assert rtp.parse(rest).timestamp == FRAME
    assert voice.get_timer() is None
    # What comes late is not said twice; what comes after the pause is where it belongs.
    assert thin([4], voice) == []
    packets = speech()
    out = [
        one
        for number in range(5, 8)
        for one in voice.receive(
            packet(number, packets[number + 45], time=(number + 45) * STEP), number + 45 * 0.02
        )
    ]
    assert [(rtp.parse(one).timestamp, rtp.parse(one).marker) for one in out] == [(50 * STEP, True)]


def test_a_short_pause_within_a_frame_is_filled() -> None:
    voice = ThinVoice(VOICE, 7)
    packets = speech()
    out = voice.receive(packet(0, packets[0]), 0.0)
    out += voice.receive(packet(1, packets[2], time=2 * STEP), 0.04)
    assert [rtp.parse(one).timestamp for one in out] == [0]
