"""The parts of the codec benchmark that can be wrong without showing: its measures and its SDP.

Lives here: PSNR and SSIM against values worked out otherwise, frame numbers after scaling, and the
rewriting that lets one browser receive another's simulcast. Must not live here: browsers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classroom.host import marker
from tests.bench import codec_sdp, quality

WIDTH, HEIGHT = 320, 180
SEED = 7


def _picture(number: int) -> quality.Luma:
    """Smooth random light, with the strip of `number`."""
    random = np.random.default_rng(SEED + number)
    coarse = random.integers(30, 220, (HEIGHT // 20, WIDTH // 20))
    picture: quality.Luma = np.kron(coarse, np.ones((20, 20))).astype(np.uint8)
    strip = marker.strip_height(HEIGHT)
    picture[-strip:] = np.frombuffer(marker.luma_row(number, WIDTH), np.uint8)
    return picture


@pytest.fixture
def source(tmp_path: Path) -> quality.Source:
    path = tmp_path / "source.y4m"
    with path.open("wb") as out:
        out.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F15:1 Ip A1:1 C420\n".encode())
        for number in range(3):
            grey = bytes([128]) * (WIDTH * HEIGHT // 2)
            out.write(b"FRAME\n" + _picture(number).tobytes() + grey)
    return quality.Source(path)


def test_the_source_gives_its_pictures_by_number_at_each_size(source: quality.Source) -> None:
    assert len(source) == 3
    for number in range(3):
        assert np.array_equal(source.picture(number, WIDTH), _picture(number))
        for width in (WIDTH, WIDTH // 2):
            assert quality.number_of(source.picture(number, width)) == number


def test_shrinking_takes_the_mean_of_each_square() -> None:
    picture = np.array([[0, 2, 10, 10], [4, 6, 10, 50]], np.uint8)
    assert quality.shrink(picture, 2).tolist() == [[3, 20]]


def test_a_picture_is_perfectly_like_itself_whatever_its_strip_says() -> None:
    other = _picture(1)
    other[-marker.strip_height(HEIGHT) :] = 128
    psnr, ssim = quality.compare(other, _picture(1))
    assert psnr == 100.0
    assert ssim == pytest.approx(1.0)


def test_psnr_of_an_error_of_sixteen_everywhere() -> None:
    picture = np.full((16, 16), 100, np.uint8)
    assert quality.psnr(picture + np.uint8(16), picture) == pytest.approx(24.05, abs=0.01)


def test_ssim_agrees_with_its_definition_window_by_window() -> None:
    random = np.random.default_rng(SEED)
    one = random.integers(0, 256, (24, 32)).astype(np.uint8)
    other = np.clip(one + random.normal(0, 60, one.shape), 0, 255).astype(np.uint8)
    values = []
    for top in range(0, 24 - 7, 4):
        for left in range(0, 32 - 7, 4):
            x = one[top : top + 8, left : left + 8].astype(float).ravel()
            y = other[top : top + 8, left : left + 8].astype(float).ravel()
            (vx, shared), (_, vy) = np.cov(x, y, bias=True)
            light = (2 * x.mean() * y.mean() + 6.5025) / (x.mean() ** 2 + y.mean() ** 2 + 6.5025)
            values.append(light * (2 * shared + 58.5225) / (vx + vy + 58.5225))
    assert quality.ssim(one, other) == pytest.approx(np.mean(values))
    assert 0.5 < quality.ssim(one, other) < 0.95


OFFER = "\r\n".join(
    [
        "v=0",
        "a=group:BUNDLE 0",
        "m=video 9 UDP/TLS/RTP/SAVPF 98 99",
        "a=mid:0",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=msid:stream track",
        "a=rtpmap:98 VP9/90000",
        "a=fmtp:98 profile-id=0",
        "a=rid:q send",
        "a=rid:f send",
        "a=simulcast:send q;f",
        "",
    ]
)


def test_a_simulcast_offer_becomes_a_section_for_each_layer() -> None:
    head, *sections = codec_sdp.split_offer(OFFER, ["q", "f"]).split("m=video")
    assert "a=group:BUNDLE q f" in head
    assert len(sections) == 2
    for rid, section in zip("qf", sections, strict=True):
        assert f"a=mid:{rid}\r\n" in section
        assert "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:mid\r\n" in section
        assert "a=extmap:4" not in section
        assert "simulcast" not in section


def test_the_answer_accepts_all_layers_in_the_offers_own_section() -> None:
    split = codec_sdp.split_offer(OFFER, ["q", "f"])
    joined = codec_sdp.join_answer(split, OFFER, ["q", "f"])
    assert joined.count("m=video") == 1
    assert "a=group:BUNDLE 0\r\n" in joined
    assert "a=mid:0\r\n" in joined
    assert "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n" in joined
    assert "a=rid:q recv\r\na=rid:f recv\r\na=simulcast:recv q;f\r\n" in joined


@pytest.mark.parametrize("without", ["", "a=fmtp:98 profile-id=0\r\n"])
def test_the_rate_to_begin_at_is_told_for_the_chosen_codec(without: str) -> None:
    told = codec_sdp.start_at(OFFER.replace(without, ""), 1500)
    (line,) = (line for line in told.splitlines() if line.startswith("a=fmtp:98"))
    assert line.endswith("x-google-start-bitrate=1500")
    assert ("profile-id=0" in line) == (without == "")
