"""HLS master playlists (RFC 8216 4.3.4): what of a lesson there is to choose from. PURE.

Here: which renditions, copies and captions a player is offered. Not here: media playlists (`hls`),
files, HTTP. A player that says what it can play is offered that alone; one that does not is told
of everything with its codecs, and picks by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from classroom.archive.extras import Captions, Extras
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import AAC_VOICE, CAPTIONS

VERSION: Final = 7  # EXT-X-MAP beside media that is no I-frame playlist needs 6
_CAPTIONS_GROUP: Final = "captions"
_COPY: Final = "h264-"
_NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
_MAX_NAMES: Final = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """What a player asks for. play: families of codecs that it plays ("avc1", "opus", …), None: it
    does not say. only: names of renditions and copies, None: all. Unknown names mean nothing."""

    play: frozenset[str] | None = None
    only: frozenset[str] | None = None

    @classmethod
    def read(cls, play: str | None, only: str | None) -> Wish:
        """From a query's values, names with commas between them; what is no name is passed over."""
        return cls(_names(play), _names(only))

    def plays(self, rendition: RenditionManifest) -> bool:
        if self.play is None:
            return True
        return all(init.codec.partition(".")[0] in self.play for init in rendition.inits)

    def allows(self, rendition: RenditionManifest) -> bool:
        return self.only is None or rendition.name in self.only


def _names(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    return frozenset(n for n in text.split(",")[:_MAX_NAMES] if _NAME.fullmatch(n))


EVERYTHING: Final = Wish()


def with_copies(manifest: Manifest, extras: Extras) -> Manifest:
    """The manifest with the copies among its renditions, for media playlists of either."""
    if not extras.copies:
        return manifest
    return Manifest(
        manifest.lesson,
        manifest.epoch_ms,
        manifest.beat_ms,
        manifest.finished,
        (*manifest.renditions, *extras.copies),
    )


def playlist_name(rendition: str) -> str:
    """Where a rendition's media playlist is, seen from the master. `screen.m3u8` is the screen's
    master, so the rendition of that name has its own inside its directory."""
    return "screen/index.m3u8" if rendition == "screen" else f"{rendition}.m3u8"


def master(
    manifest: Manifest,
    source: str,
    token: str | None = None,
    *,
    extras: Extras | None = None,
    wish: Wish = EVERYTHING,
) -> str | None:
    """The master playlist of `source` ("camera", with voice and captions; or "screen", silent).

    None when there is nothing to list. A lesson with a voice and no camera lists the voice alone.
    A source with one rendition only is listed all the same.
    """
    extras = extras or Extras(manifest.lesson)
    recorded = [
        r
        for r in manifest.renditions
        if (r.name == source or r.name.startswith(f"{source}-")) and wish.allows(r)
    ]
    videos = _playable(recorded, extras.copy(_COPY + source), wish)
    voices: list[RenditionManifest] = []
    captions: Sequence[Captions] = ()
    if source == "camera":
        voice = manifest.rendition("voice")
        spoken = [voice] if voice is not None and wish.allows(voice) else []
        voices = _playable(spoken, extras.copy(AAC_VOICE), wish)
        captions = extras.captions
    if not videos and not voices:
        return None
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if videos:
        lines += [_voice(voice, number == 0, token) for number, voice in enumerate(voices)]
    lines += [_subtitles(one, token) for one in captions]
    shared = [f'SUBTITLES="{_CAPTIONS_GROUP}"'] if captions else []
    choices: Sequence[RenditionManifest | None] = voices or [None]
    for beside in choices:
        for rendition in sorted(videos, key=lambda r: _rates(r)[0]):
            lines += _variant(rendition, beside, shared, token)
        if not videos and beside is not None:
            lines += _variant(beside, None, shared, token)
    return "\n".join(lines) + "\n"


def captions_playlist(manifest: Manifest, captions: Captions, token: str | None = None) -> str:
    """The media playlist of captions: one WebVTT file, as long as the lesson (RFC 8216 3.5).

    Without X-TIMESTAMP-MAP a cue's time is the presentation's own, which is media time here.
    """
    length = max(1, manifest.duration_ms) / 1000
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        f"#EXT-X-TARGETDURATION:{math.ceil(length)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f"#EXTINF:{length:.3f},",
        uri(f"{captions.language}.vtt", token),
        "#EXT-X-ENDLIST",
    ]
    return "\n".join(lines) + "\n"


def uri(path: str, token: str | None) -> str:
    """`path` as a playlist names it; a player that cannot send headers carries its token in it."""
    return f"{path}?token={quote(token, safe='')}" if token else path


def _playable(
    recorded: list[RenditionManifest], copy: RenditionManifest | None, wish: Wish
) -> list[RenditionManifest]:
    """What was recorded as far as it plays, and the copy where nothing of it does. Whoever does not
    say what it plays is told of both."""
    found = [rendition for rendition in recorded if wish.plays(rendition)]
    if copy is None or not wish.plays(copy) or not wish.allows(copy):
        return found
    return [*found, copy] if wish.play is None or not found else found


def _voice(voice: RenditionManifest, first: bool, token: str | None) -> str:
    channels = voice.inits[-1].channels
    default = "YES" if first else "NO"
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{voice.name}",NAME="voice",DEFAULT={default},'
        f'AUTOSELECT=YES,CHANNELS="{channels}",URI="{uri(playlist_name(voice.name), token)}"'
    )


def _subtitles(captions: Captions, token: str | None) -> str:
    place = uri(f"{CAPTIONS}/{captions.language}.m3u8", token)
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="{_CAPTIONS_GROUP}",NAME="{captions.label}",'
        f'LANGUAGE="{captions.language}",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="{place}"'
    )


def _variant(
    rendition: RenditionManifest,
    voice: RenditionManifest | None,
    shared: Collection[str],
    token: str | None,
) -> list[str]:
    peak, mean = _rates(rendition)
    codecs = list(dict.fromkeys(init.codec for init in rendition.inits))
    if voice is not None:
        voice_peak, voice_mean = _rates(voice)
        peak, mean = peak + voice_peak, mean + voice_mean
        codecs += dict.fromkeys(init.codec for init in voice.inits)
    init = rendition.inits[-1]
    attributes = [
        f"BANDWIDTH={peak}",
        f"AVERAGE-BANDWIDTH={mean}",
        f'CODECS="{",".join(codecs)}"',
    ]
    if init.width:
        attributes.append(f"RESOLUTION={init.width}x{init.height}")
        attributes.append(f"FRAME-RATE={_frame_rate(rendition):.3f}")
    if voice is not None:
        attributes.append(f'AUDIO="{voice.name}"')
    attributes += shared
    return [
        f"#EXT-X-STREAM-INF:{','.join(attributes)}",
        uri(playlist_name(rendition.name), token),
    ]


def _rates(rendition: RenditionManifest) -> tuple[int, int]:
    """Bits per second from the real sizes: of the fullest segment, and on average."""
    ticks = rendition.timescale
    # Very short segments (a publisher that came and went) say little of what a link must carry.
    peaks = [s.bytes * 8 * ticks / max(s.duration, ticks) for s in rendition.segments]
    length = sum(s.duration for s in rendition.segments)
    mean = sum(s.bytes for s in rendition.segments) * 8 * ticks / length
    return math.ceil(max(*peaks, mean)), math.ceil(mean)


def _frame_rate(rendition: RenditionManifest) -> float:
    length = sum(s.duration for s in rendition.segments)
    return sum(s.frames for s in rendition.segments) * rendition.timescale / length
