"""HLS playlists (RFC 8216, with EXT-X-GAP of RFC 8216bis) made from a manifest. PURE.

Here: master playlists for the camera and for the screen, and one media playlist per rendition, of
a finished lesson or of one still running. Not here: files, HTTP. Every playlist covers the lesson
from media time 0, so that camera, screen and voice share one clock: where a rendition has nothing,
EXT-X-GAP entries, cut on the beats, hold its place. Only whole segments are listed, so a running
lesson's playlist (EVENT) only ever grows at its end.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from classroom.archive.journal import Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import init_name, segment_name

VERSION: Final = 8  # EXT-X-GAP
_FOLD: Final = 0.1  # s; a shorter hole is given to the segment before it, players step over it
_EXACT: Final = 0.001  # s; at the beginning there is no segment before it
_SLACK: Final = 2  # s added to the beat for EXT-X-TARGETDURATION: keyframes come a little late
_GAP_NAME: Final = "gap.m4s"
_VOICE_GROUP: Final = "voice"


@dataclass(frozen=True, slots=True)
class _Entry:
    """start, end: seconds. segment: None for a gap."""

    start: float
    end: float
    segment: Segment | None


def master(manifest: Manifest, source: str, token: str | None = None) -> str | None:
    """The master playlist of `source` ("camera", with the voice beside it; or "screen", silent).

    None when there is nothing to list. A lesson with a voice and no camera lists the voice alone.
    A source with one rendition only is listed all the same.
    """
    videos = [r for r in manifest.renditions if r.name == source or r.name.startswith(f"{source}-")]
    voice = manifest.rendition("voice") if source == "camera" else None
    if not videos and voice is None:
        return None
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    voice_peak = voice_mean = 0
    if voice is not None:
        voice_peak, voice_mean = _rates(voice)
    if videos and voice is not None:
        channels = voice.inits[-1].channels
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{_VOICE_GROUP}",NAME="voice",DEFAULT=YES,'
            f'AUTOSELECT=YES,CHANNELS="{channels}",URI="{_uri("voice.m3u8", token)}"'
        )
    for rendition in sorted(videos, key=lambda r: _rates(r)[0]):
        lines += _variant(rendition, voice, voice_peak, voice_mean, token)
    if not videos and voice is not None:
        attributes = f'BANDWIDTH={voice_peak},AVERAGE-BANDWIDTH={voice_mean},CODECS="opus"'
        lines += [f"#EXT-X-STREAM-INF:{attributes}", _uri("voice.m3u8", token)]
    return "\n".join(lines) + "\n"


def playlist_name(rendition: str) -> str:
    """Where a rendition's media playlist is, seen from the master. `screen.m3u8` is the screen's
    master, so the rendition of that name has its own inside its directory."""
    return "screen/index.m3u8" if rendition == "screen" else f"{rendition}.m3u8"


def media(
    manifest: Manifest,
    name: str,
    token: str | None = None,
    *,
    growing: Collection[str] = (),
    inside: bool = False,
) -> str | None:
    """The media playlist of rendition `name`, None if it has no whole segment.

    growing: renditions with a segment that is being written now: its end is still open. inside:
    the playlist stands in the rendition's directory, not beside it.
    """
    rendition = manifest.rendition(name)
    if rendition is None:
        return None
    prefix = "" if inside else f"{name}/"
    entries = _entries(manifest, rendition, open_end=name in growing)
    longest = max(entry.end - entry.start for entry in entries)
    target = max(math.ceil(longest), math.ceil(manifest.beat_ms / 1000) + _SLACK)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        f"#EXT-X-TARGETDURATION:{target}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if manifest.finished else 'EVENT'}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    if not manifest.finished:
        lines.append("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES")
    breaks = _breaks(manifest)
    mapped = next(entry.segment.init for entry in entries if entry.segment is not None)
    lines.append(f'#EXT-X-MAP:URI="{_uri(prefix + init_name(mapped), token)}"')
    dated = False
    for entry in entries:
        passed = [at for at in breaks if at <= entry.start + _EXACT]
        lines += ["#EXT-X-DISCONTINUITY"] * len(passed)
        del breaks[: len(passed)]
        segment = entry.segment
        if segment is not None and segment.init != mapped:
            mapped = segment.init
            lines.append(f'#EXT-X-MAP:URI="{_uri(prefix + init_name(mapped), token)}"')
        if passed or not dated:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(manifest.epoch_ms, entry.start)}")
            dated = True
        if segment is None:
            lines.append("#EXT-X-GAP")
        # Rounded ends, not rounded lengths: a player adds these up over hours.
        lines.append(f"#EXTINF:{round(entry.end, 5) - round(entry.start, 5):.5f},")
        file = _GAP_NAME if segment is None else segment_name(segment.beat, segment.part)
        lines.append(_uri(prefix + file, token))
    if manifest.finished:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _entries(manifest: Manifest, rendition: RenditionManifest, *, open_end: bool) -> list[_Entry]:
    beat = manifest.beat_ms / 1000
    ticks = rendition.timescale
    entries: list[_Entry] = []
    at = 0.0
    for segment in rendition.segments:
        start = segment.start / ticks
        end = (segment.start + segment.duration) / ticks
        if start - at > (_FOLD if entries else _EXACT):
            entries += _gaps(at, start, beat)
        elif entries:
            last = entries[-1]
            entries[-1] = _Entry(last.start, start, last.segment)
        else:
            start = 0.0
        entries.append(_Entry(start, end, segment))
        at = end
    until = manifest.duration_ms / 1000
    if not manifest.finished:
        # Up to the last beat that every living rendition has passed: a list that only grows.
        until = 0.0 if open_end else math.floor(until / beat - 1) * beat
    if until - at > _FOLD:
        entries += _gaps(at, until, beat)
    return entries


def _gaps(start: float, end: float, beat: float) -> list[_Entry]:
    """Entries without media from `start` to `end`, cut on the beats."""
    entries: list[_Entry] = []
    while end - start > _EXACT / 10:
        following = (math.floor(start / beat + 1e-9) + 1) * beat
        if end - following < _FOLD:
            following = end
        entries.append(_Entry(start, following, None))
        start = following
    return entries


def _breaks(manifest: Manifest) -> list[float]:
    """Seconds at which each publisher after the first began, the same for all renditions."""
    begins: dict[int, float] = {}
    for rendition in manifest.renditions:
        for segment in rendition.segments:
            start = segment.start / rendition.timescale
            begins[segment.take] = min(start, begins.get(segment.take, start))
    return [begins[take] for take in sorted(begins)][1:]


def _variant(
    rendition: RenditionManifest,
    voice: RenditionManifest | None,
    voice_peak: int,
    voice_mean: int,
    token: str | None,
) -> list[str]:
    peak, mean = _rates(rendition)
    codecs = list(dict.fromkeys(init.codec for init in rendition.inits))
    init = rendition.inits[-1]
    attributes = [
        f"BANDWIDTH={peak + voice_peak}",
        f"AVERAGE-BANDWIDTH={mean + voice_mean}",
        f'CODECS="{",".join(codecs + (["opus"] if voice is not None else []))}"',
        f"RESOLUTION={init.width}x{init.height}",
        f"FRAME-RATE={_frame_rate(rendition):.3f}",
    ]
    if voice is not None:
        attributes.append(f'AUDIO="{_VOICE_GROUP}"')
    return [
        f"#EXT-X-STREAM-INF:{','.join(attributes)}",
        _uri(playlist_name(rendition.name), token),
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


def _date(epoch_ms: int, seconds: float) -> str:
    date = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=epoch_ms, seconds=seconds)
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _uri(path: str, token: str | None) -> str:
    return f"{path}?token={quote(token, safe='')}" if token else path
