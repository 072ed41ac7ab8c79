"""What the worker that turns VP8 into H.264 does with a picture. Not here: its process."""

from __future__ import annotations

import pytest
from av.error import FFmpegError

from relay.record.transcode_worker import Stream
from tests.fakes.rtp_media import encode_video


def test_a_picture_larger_than_any_camera_or_screen_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("relay.record.transcode_worker.MAX_PIXELS", 200 * 100)
    stream = Stream()
    (small,) = encode_video("vp8", 1, 1)
    (large,) = encode_video("vp8", 1, 1, 320, 180)
    assert stream.process(True, True, 0, small.data)
    with pytest.raises(FFmpegError):
        stream.process(True, True, 3_000, large.data)
    assert stream.process(True, True, 6_000, small.data), "what follows is as before"
