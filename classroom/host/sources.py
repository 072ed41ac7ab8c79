"""What a host can publish: parsing its address, and the thread that turns it into pieces.

Lives here: `Address` (file, stream, v4l2, alsa, test), `Source` (outlets plus one thread), and the
generated source. Must not live here: reading media files (`reader`), coding (`encoders`), network.
"""

from __future__ import annotations

import logging
import threading
import time as system_time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from classroom.errors import Misuse
from classroom.host.encoders import VideoEncoder, VoiceEncoder
from classroom.host.outlet import Codec, Outlet, Timeline
from classroom.host.test_lesson import CameraPicture, SlidePicture, sound

log = logging.getLogger(__name__)

SCREEN_RATE: Final = 5.0  # pictures a second; slides hardly move
SCREEN_MAX: Final = (1920, 1080)

Kind = Literal["test", "file", "stream", "camera-device", "sound-device"]


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed SOURCE: `target` is what ffmpeg opens, `format` its input format or None."""

    kind: Kind
    target: str
    format: str | None = None

    @property
    def shown(self) -> str:
        """How to name it to a person; without the password that a stream's address may hold."""
        scheme, colon, rest = self.target.partition("://")
        if not colon or "@" not in rest.split("/")[0]:
            return self.target
        return f"{scheme}://…@{rest.split('@', 1)[1]}"


@dataclass(frozen=True, slots=True)
class Options:
    """How to code what must be coded. Rates in bit/s, `size` in pixels, `rate` in pictures/s."""

    video_codec: Codec = "h264"
    video_bit_rate: int = 1_200_000
    screen_bit_rate: int = 600_000
    voice_bit_rate: int = 32_000
    size: tuple[int, int] = (1280, 720)
    rate: float = 25.0
    loop: bool = False
    title: str = "Classroom without walls"


def parse_address(text: str) -> Address:
    """Understand a SOURCE argument; Misuse if it names nothing that could be published."""
    if not text.strip():
        raise Misuse(
            "The source is empty; give a file, v4l2:/dev/video0, alsa:hw:0, a URL or test:"
        )
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower() if colon else ""
    if scheme == "test":
        return Address("test", rest)
    if scheme in ("v4l2", "alsa"):
        if not rest:
            example = "v4l2:/dev/video0" if scheme == "v4l2" else "alsa:default"
            raise Misuse(f"“{text}” names no device; write it like {example}")
        if scheme == "v4l2":
            return Address("camera-device", rest, "video4linux2,v4l2")
        return Address("sound-device", rest, "alsa")
    if rest.startswith("//"):
        if scheme == "file":
            return Address("file", unquote(rest[2:].removeprefix("localhost")))
        if scheme in ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "http", "https"):
            return Address("stream", text)
        raise Misuse(f"“{scheme}://” cannot be read; use rtsp://, http://, srt:// or a file")
    return Address("file", text)


class Source(ABC):
    """Outlets, their common timeline and the thread that fills them.

    Subclasses set `outlets` before `start` and write `_produce`, which runs on the thread, puts
    pieces until the source ends or `put` returns False, and may raise Misuse. `error` is what ended
    the thread, if it was an error; anything but Misuse is a bug.
    """

    def __init__(self, shown: str, *, live: bool) -> None:
        self.shown = shown
        self.live = live
        self.timeline = Timeline(live=live)
        self.outlets: list[Outlet] = []
        self.error: Exception | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin filling the outlets."""
        for outlet in self.outlets:
            outlet.siblings = tuple(other for other in self.outlets if other is not outlet)
        self._thread = threading.Thread(target=self._run, name=f"source {self.shown}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the outlets; safe to call twice, or before `start`."""
        self._stopping.set()
        for outlet in self.outlets:
            outlet.close()
        if self._thread is not None:
            # A device may take its read timeout to let go; a daemon thread does not hold us up.
            self._thread.join(timeout=3.0)

    @property
    def ended(self) -> bool:
        """Whether everything that the source had was sent."""
        return all(outlet.ended for outlet in self.outlets)

    @abstractmethod
    def _produce(self) -> None: ...

    def _run(self) -> None:
        try:
            self._produce()
        except Exception as error:
            # A bug too is raised again, by the publisher; left in this thread, it would look as if
            # the source had come to its end.
            log.warning("host.source-failed source=%s reason=%r", self.shown, error)
            self.error = error
        finally:
            for outlet in self.outlets:
                outlet.close()


class GeneratedLesson(Source):
    """`test:`: voice and camera, and slides if asked. Never ends."""

    def __init__(self, options: Options, *, screen: bool) -> None:
        super().__init__("test:", live=False)
        self._options = options
        self._voice = VoiceEncoder(options.voice_bit_rate)
        self._camera = VideoEncoder(options.video_codec, options.video_bit_rate, options.size)
        self._screen = VideoEncoder(
            options.video_codec, options.screen_bit_rate, SCREEN_MAX, sharp=True
        )
        voice = Outlet("voice", "opus", live=False)
        camera = Outlet("camera", options.video_codec, live=False)
        camera.request_keyframe = self._camera.request_keyframe
        self.outlets = [voice, camera]
        if screen:
            slides = Outlet("screen", options.video_codec, live=False)
            slides.request_keyframe = self._screen.request_keyframe
            self.outlets.append(slides)

    def _produce(self) -> None:
        width, height = self._options.size
        camera = CameraPicture(width, height, self._options.title)
        slides = SlidePicture(width, height, self._options.title)
        began = system_time.time()
        picture = slide = 0
        block = 0
        while not self._stopping.is_set():
            time = block / 50
            for piece in self._voice.encode(sound(block), time):
                self.outlets[0].put(piece)
            block += 1
            while picture / self._options.rate < block / 50:
                time = picture / self._options.rate
                for piece in self._camera.encode(camera.draw(picture, time, began), time):
                    self.outlets[1].put(piece)
                picture += 1
            while len(self.outlets) > 2 and slide / SCREEN_RATE < block / 50:
                time = slide / SCREEN_RATE
                for piece in self._screen.encode(slides.draw(slide, time), time):
                    self.outlets[2].put(piece)
                slide += 1
