"""HLS playlists (RFC 8216) made from a manifest. PURE.

Here: master playlists for the camera and for the screen, and one media playlist per rendition, of
a finished lesson or of one still running. Not here: files, HTTP. Every playlist begins at media
time 0, so that camera, screen and voice share one clock. Where a rendition has nothing, fillings
(`fill`), cut on the beats, hold its place; the title of their EXTINF tells a page what they are:
"nothing" (hide the screen) or "away" (nobody published for long: offer to skip). EXT-X-GAP is not
used: hls.js 1.7 in Chromium plays across one, but hangs when playing begins or seeks inside it.
Only whole segments are listed, so a running lesson's playlist (EVENT) only grows at its end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import init_name, segment_name
from relay.record.fill import fill_name, model

VERSION: Final = 7  # EXT-X-MAP beside media that is no I-frame playlist needs 6
_FOLD: Final = 0.02  # s; a shorter hole is given to the segment before it, players step over it
_AWAY: Final = 20  # s; when camera and voice are missing for longer, nobody was there
NOTHING: Final = "nothing"
AWAY: Final = "away"
_SLACK: Final = 2  # s added to the beat for EXT-X-TARGETDURATION: keyframes come a little late
_VOICE_GROUP: Final = "voice"


@dataclass(frozen=True, slots=True)
class _Entry:
    """start, end: ticks. name: of the file. init: number. title: empty for what was recorded."""

    start: int
    end: int
    name: str
    init: int
    title: str = ""


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
    ticks = rendition.timescale
    longest = max(entry.end - entry.start for entry in entries) / ticks
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
    mapped = -1
    for number, entry in enumerate(entries):
        start, end = entry.start / ticks, entry.end / ticks
        passed = [at for at in breaks if at <= start + _FOLD]
        lines += ["#EXT-X-DISCONTINUITY"] * len(passed)
        del breaks[: len(passed)]
        if entry.init != mapped:
            mapped = entry.init
            lines.append(f'#EXT-X-MAP:URI="{_uri(prefix + init_name(mapped), token)}"')
        if passed or number == 0:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(manifest.epoch_ms, start)}")
        # Rounded ends, not rounded lengths: a player adds these up over hours.
        lines.append(f"#EXTINF:{round(end, 5) - round(start, 5):.5f},{entry.title}")
        lines.append(_uri(prefix + entry.name, token))
    if manifest.finished:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _entries(manifest: Manifest, rendition: RenditionManifest, *, open_end: bool) -> list[_Entry]:
    ticks = rendition.timescale
    beat = manifest.beat_ms * ticks // 1000
    fold = round(_FOLD * ticks)
    screen = rendition.name.startswith("screen")
    away = [(round(a * ticks), round(b * ticks)) for a, b in _away(manifest)]
    entries: list[_Entry] = []

    def hold(start: int, end: int) -> None:
        """Entries without recorded media from `start` to `end`."""
        init = model(rendition, start).init
        for first, last in _cut(start, end, beat, fold):
            gone = any(begin <= first and last <= until for begin, until in away)
            title = AWAY if gone else NOTHING
            entries.append(_Entry(first, last, fill_name(first, last), init, title))

    at = 0
    for segment in rendition.segments:
        if segment.start - at > (fold if entries else 0):
            hold(at, segment.start)
        elif entries:
            entries[-1] = replace(entries[-1], end=segment.start)
        name = segment_name(segment.beat, segment.part)
        at = segment.start + segment.duration
        entries.append(_Entry(segment.start, at, name, segment.init))
    end = manifest.duration_ms * ticks // 1000
    if screen or open_end:
        end = at
    elif not manifest.finished:
        # Only up to the last beat but one: what is listed must not have to change.
        end = (end // beat - 1) * beat
    if end - at > fold:
        hold(at, end)
    return entries


def _cut(start: int, end: int, beat: int, least: int) -> Iterator[tuple[int, int]]:
    """A stretch cut on the beats, none of its pieces as short as `least`."""
    while start < end:
        following = (start // beat + 1) * beat
        if following - start <= least:
            following += beat
        if end - following <= least:
            following = end
        yield start, following
        start = following


def _away(manifest: Manifest) -> list[tuple[float, float]]:
    """Stretches, in seconds, where neither camera nor voice has anything for long."""
    spans = sorted(
        (segment.start / r.timescale, (segment.start + segment.duration) / r.timescale)
        for r in manifest.renditions
        if not r.name.startswith("screen")
        for segment in r.segments
    )
    found: list[tuple[float, float]] = []
    at = 0.0
    for start, end in spans:
        if start - at > _AWAY:
            found.append((at, start))
        at = max(at, end)
    return found


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
