"""Footage and speech by ffmpeg's own WHIP muxer: `-m tests.live.whip_muxer URL TOKEN SECONDS PEM`.

A process by itself, because the muxer holds the interpreter while it waits for the network. H.264
without B-frames and Opus, in real time, as `ffmpeg -re -i FILE -f whip URL` would send them. PEM
holds a P-256 key and its certificate: left alone, a muxer built with GnuTLS makes one on P-224,
which OpenSSL does not take.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from tests import media

RATE = 15
BLOCK = 960


def main(url: str, token: str, seconds: float, pem: str) -> None:
    """Send for `seconds`."""
    secrets = {"authorization": token, "cert_file": pem, "key_file": pem}
    output = av.open(url, "w", format="whip", options=secrets)
    options = {"preset": "ultrafast", "tune": "zerolatency", "g": "15"}
    camera: VideoStream = output.add_stream("libx264", rate=RATE, options=options)
    camera.width, camera.height, camera.pix_fmt = 640, 360, "yuv420p"
    camera.bit_rate = 500_000
    # What every player takes; the muxer's offer calls it Baseline.
    camera.codec_context.profile = "Constrained Baseline"
    voice: AudioStream = output.add_stream("libopus", rate=media.VOICE_RATE)
    voice.layout = "stereo"
    speech = (media.voice_samples() * 32_767).astype(np.int16)
    speech = np.tile(speech, int(seconds * media.VOICE_RATE / len(speech)) + 1)
    began = time.monotonic()
    blocks = 0
    with av.open(str(media.camera_file(640, 360))) as footage:
        for number, picture in enumerate(footage.decode(video=0)):
            if number >= seconds * RATE:
                break
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            output.mux(camera.encode(picture))
            while blocks * BLOCK / media.VOICE_RATE <= (number + 1) / RATE:
                mono = speech[blocks * BLOCK : (blocks + 1) * BLOCK]
                frame = av.AudioFrame.from_ndarray(
                    np.repeat(mono, 2).reshape(1, -1), format="s16", layout="stereo"
                )
                frame.sample_rate, frame.pts = media.VOICE_RATE, blocks * BLOCK
                frame.time_base = Fraction(1, media.VOICE_RATE)
                output.mux(voice.encode(frame))
                blocks += 1
    output.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
