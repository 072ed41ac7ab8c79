"""HLS media playlists (RFC 8216 4.3.3) made from a manifest. PURE.

Here: one media playlist per rendition, of a finished lesson or of one still running. Not here: what
there is to choose from (`hls_master`), files, HTTP. Every playlist begins at media time 0, so that
camera, screen and voice share one clock. Where a rendition has nothing, fillings (`fill`), cut on
the beats, hold its place; the title of their EXTINF tells a page what they are: "nothing" (hide the
screen) or "away" (nobody published for long: offer to skip). Where another layer of the source has
what this one lacks, that is listed instead (`layers`), with its own EXT-X-MAP but no discontinuity:
the clock is the same, and the voice beside it has none. EXT-X-GAP is not used: hls.js 1.7 in
Chromium plays across one, but hangs when playing begins or seeks inside it. Only whole segments are
listed, so a running lesson's playlist (EVENT) only grows at its end; to who asks for it the growing
segment is listed in parts (`tail`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import init_name, segment_name
from relay.record import tail
from relay.record.fill import fill_name, model
from relay.record.hls_master import VERSION, uri
from relay.record.layers import SLACK, choose
from relay.record.tail import Tail

_FOLD: Final = 0.02  # s; a shorter hole is given to the segment before it, players step over it
_AWAY: Final = 20  # s; when camera and voice are missing for longer, nobody was there
_SCREENS: Final = ("screen", "h264-screen")
NOTHING: Final = "nothing"
AWAY: Final = "away"
_SLACK: Final = 2  # s added to the beat for EXT-X-TARGETDURATION: keyframes come a little late


@dataclass(frozen=True, slots=True)
class _Entry:
    """start, end: ticks. name: of the file. init: number. rendition: whose folder both are in.
    title: empty for what was recorded."""

    start: int
    end: int
    name: str
    init: int
    rendition: RenditionManifest
    title: str = ""

    @property
    def folder(self) -> str:
        return self.rendition.name


def media(
    manifest: Manifest,
    name: str,
    token: str | None = None,
    *,
    growing: Mapping[str, float] | None = None,
    inside: bool = False,
    tails: Sequence[Tail] | None = None,
) -> str | None:
    """The media playlist of rendition `name`, None if it has no whole segment.

    growing: renditions with a segment that is being written now, and the second where that begins
    about, at the earliest: its end is still open. inside: the playlist stands in the rendition's
    directory, not beside it. tails: for players that are to come near the lesson: the last whole
    segments and the growing one in parts; None: no parts.
    """
    rendition = manifest.rendition(name)
    if rendition is None:
        return None

    def place(folder: str, file: str) -> str:
        away = f"{folder}/" if not inside else "" if folder == name else f"../{folder}/"
        return uri(away + file, token)

    entries = _entries(manifest, rendition, growing or {})
    if not entries:
        return None
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
    parts = {one.name: one for one in tails or ()}
    if tails is not None and not manifest.finished:
        lines += tail.head()
    if not manifest.finished:
        lines.append("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES")
    breaks = _breaks(manifest)
    mapped: tuple[str, int] | None = None
    for number, entry in enumerate(entries):
        start, end = entry.start / ticks, entry.end / ticks
        passed = [at for at in breaks if at <= start + _FOLD]
        lines += ["#EXT-X-DISCONTINUITY"] * len(passed)
        del breaks[: len(passed)]
        if (entry.folder, entry.init) != mapped:
            mapped = entry.folder, entry.init
            lines.append(f'#EXT-X-MAP:URI="{place(entry.folder, init_name(entry.init))}"')
        if passed or number == 0:
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(manifest.epoch_ms, start)}")
        if entry.folder == name and entry.name in parts:
            lines += tail.lines(parts[entry.name], ticks, place(name, entry.name))
        # Rounded ends, not rounded lengths: a player adds these up over hours.
        lines.append(f"#EXTINF:{round(end, 5) - round(start, 5):.5f},{entry.title}")
        lines.append(place(entry.folder, entry.name))
    grows = parts.get(tails[-1].name) if tails else None
    if grows is not None and _continues(grows, rendition, entries[-1], ticks):
        whole = place(name, grows.name)
        lines += tail.lines(grows, ticks, whole)
        lines.append(tail.hint(whole, grows.parts[-1].offset + grows.parts[-1].size))
    elif tails is not None and not manifest.finished:
        following = segment_name(entries[-1].end * 1000 // ticks // manifest.beat_ms, 0)
        lines.append(tail.hint(place(name, following), 0))
    if manifest.finished:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def _continues(grows: Tail, rendition: RenditionManifest, last: _Entry, ticks: int) -> bool:
    """Whether the growing segment follows at once on what is listed, under the same headers."""
    if not grows.parts or not rendition.segments or grows.name == last.name:
        return False
    taken = (rendition, last.init, rendition.segments[-1].take)
    same = (last.rendition, grows.init, grows.take) == taken
    return same and abs(grows.parts[0].start - last.end) <= _FOLD * ticks


def _entries(
    manifest: Manifest, rendition: RenditionManifest, growing: Mapping[str, float]
) -> list[_Entry]:
    ticks = rendition.timescale
    beat = manifest.beat_ms * ticks // 1000
    fold = round(_FOLD * ticks)
    screen = rendition.name.startswith(_SCREENS)
    away = [(round(a * ticks), round(b * ticks)) for a, b in _away(manifest)]
    entries: list[_Entry] = []

    def hold(start: int, end: int, of: RenditionManifest, *, seam: bool = False) -> None:
        """Entries without recorded media from `start` to `end`. seam: between two layers."""
        init = model(of, start).init
        for first, last in _cut(start, end, beat, fold):
            gone = any(begin <= first and last <= until for begin, until in away)
            title = AWAY if gone else NOTHING
            if seam and end - start <= SLACK * ticks:
                title = ""
            entries.append(_Entry(first, last, fill_name(first, last), init, of, title))

    chosen = choose(manifest, rendition, growing or {})
    at = 0
    for one in chosen.segments:
        segment = one.segment
        if segment.start - at > (fold if entries else 0):
            before = entries[-1].rendition if entries else rendition
            seam = bool(entries) and before is not one.rendition
            hold(at, segment.start, before, seam=seam)
        elif entries:
            # Or the layer before reaches into this one: players replace what they have twice.
            entries[-1] = replace(entries[-1], end=segment.start)
        name = segment_name(segment.beat, segment.part)
        at = one.end
        entries.append(_Entry(segment.start, at, name, segment.init, one.rendition))
    end = manifest.duration_ms * ticks // 1000
    if screen:
        end = at
    elif not manifest.finished:
        # Only up to the last beat but one: what is listed must not have to change.
        end = (end // beat - 1) * beat
    end = int(min(end, chosen.until))
    if end - at > fold:
        hold(at, end, entries[-1].rendition if entries else rendition)
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
        if not r.name.startswith(_SCREENS)
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
    # Not in order of number: below another relay a take has a large one until its own is told.
    return sorted(begins.values())[1:]


def _date(epoch_ms: int, seconds: float) -> str:
    date = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=epoch_ms, seconds=seconds)
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
