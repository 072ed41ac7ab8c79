"""Which descriptions mean one codec, after RFC 6184 8.2.2 and table 5, and the reader of each."""

from __future__ import annotations

import pytest

from relay.media import codec as codecs
from relay.media.codec import Codec, H264Profile, can_forward, compatible, forwarded, h264_profile


def h264(level_id: str | None, mode: str | None = "1") -> Codec:
    fmtp = {}
    if level_id is not None:
        fmtp["profile-level-id"] = level_id
    if mode is not None:
        fmtp["packetization-mode"] = mode
    return Codec("h264", "video", 90_000, 1, fmtp)


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("42e01f", H264Profile.CONSTRAINED_BASELINE),
        ("42c01e", H264Profile.CONSTRAINED_BASELINE),
        ("42E01F", H264Profile.CONSTRAINED_BASELINE),
        ("4d8028", H264Profile.CONSTRAINED_BASELINE),
        ("58c020", H264Profile.CONSTRAINED_BASELINE),
        ("42001f", H264Profile.BASELINE),
        ("42a01f", H264Profile.BASELINE),
        ("588020", H264Profile.BASELINE),
        ("4d001f", H264Profile.MAIN),
        ("4d401f", H264Profile.MAIN),
        ("580020", H264Profile.EXTENDED),
        ("64001f", H264Profile.HIGH),
        ("640c1f", H264Profile.CONSTRAINED_HIGH),
        ("420f1f", None),
        ("42e11f", None),
        ("4d811f", None),
        ("58c120", None),
        ("588120", None),
        ("64e01f", None),
        ("f4001f", None),
        ("42e0", None),
        ("42e01fff", None),
        ("zzzzzz", None),
        ("-12345", None),
        ("", None),
    ],
)
def test_profiles_by_idc_and_constraints(text: str, profile: H264Profile | None) -> None:
    assert h264_profile(text) is profile


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (codecs.OPUS, Codec("opus", "audio", 48_000, 2), True),
        (codecs.OPUS, Codec("opus", "audio", 48_000, 1), False),
        (codecs.OPUS, codecs.RED, False),
        (codecs.VP8, Codec("vp8", "video", 90_000), True),
        (codecs.VP8, Codec("vp8", "video", 48_000), False),
        (codecs.VP9, Codec("vp9", "video", 90_000), True),
        (codecs.VP9, Codec("vp9", "video", 90_000, 1, {"profile-id": "2"}), False),
        (codecs.AV1, Codec("av1", "video", 90_000, 1, {"tier": "0", "level-idx": "5"}), True),
        (codecs.AV1, Codec("av1", "video", 90_000, 1, {"profile": "1"}), False),
        (h264("42e01f"), h264("42c034"), True),
        (h264("42e01f"), h264("4d8028"), True),
        (h264("42e01f"), h264("42001f"), False),
        (h264("42e01f"), h264("42e01f", "0"), False),
        (h264("42e01f", None), h264("42e01f", "0"), True),
        (h264(None, None), h264("42000a", "0"), True),
        (h264("junk"), h264("junk"), False),
    ],
)
def test_offer_and_answer_mean_the_same(a: Codec, b: Codec, same: bool) -> None:
    assert compatible(a, b) is same
    assert compatible(b, a) is same


@pytest.mark.parametrize(
    ("source", "receiver", "may"),
    [
        (h264("42e01f"), h264("64001f"), True),
        (h264("42e01f"), h264("42001f"), True),
        (h264("4d001f"), h264("64001f"), True),
        (h264("64001f"), h264("42e01f"), False),
        (h264("42001f"), h264("64001f"), False),
        (h264("42e01f", "0"), h264("42e01f", "1"), True),
        (h264("42e01f", "1"), h264("42e01f", "0"), False),
        (h264("junk"), h264("42e01f"), False),
        (codecs.VP8, codecs.VP8, True),
        (codecs.VP8, h264("42e01f"), False),
        (codecs.VP8, codecs.VP9, False),
    ],
)
def test_who_can_be_sent_a_stream(source: Codec, receiver: Codec, may: bool) -> None:
    assert can_forward(source, receiver) is may


def test_what_is_forwarded() -> None:
    for known in codecs.FORWARDED:
        assert forwarded(known)
        assert known.name in codecs.PAYLOAD_PARSERS
    for level_id in ("42e01f", "42001f", "4d001f", "64001f", "640c1f"):
        assert forwarded(h264(level_id, "1"))
        assert forwarded(h264(level_id, "0"))
    assert forwarded(Codec("red", "audio", 48_000, 2, {"": "111/111"}))
    assert forwarded(Codec("opus", "audio", 48_000, 2))
    assert not forwarded(Codec("vp9", "video", 90_000, 1, {"profile-id": "2"}))
    assert not forwarded(Codec("pcmu", "audio", 8_000))
    assert not forwarded(h264("f4001f"))


def test_each_name_has_its_reader() -> None:
    parsers = codecs.PAYLOAD_PARSERS
    assert parsers["opus"](b"\x78\x00", 0, 2, False).keyframe
    assert parsers["vp8"](b"\x10\x00", 0, 2, False).keyframe
    assert parsers["vp9"](b"\x08\x82", 0, 2, False).keyframe
    assert parsers["h264"](b"\x65\x88", 0, 2, False).keyframe
    assert parsers["av1"](b"\x18\x0a", 0, 2, False).keyframe


def test_a_codec_can_be_a_key() -> None:
    assert {h264("42e01f"): 1}[h264("42e01f")] == 1
    assert h264("42e01f") not in {h264("64001f"): 1}
