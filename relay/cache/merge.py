"""One view of a lesson that was recorded here and is also told by a source. PURE.

Here: which of the two counts where, and what recorded here may stand in for a part that has not
come yet. Not here: files, playlists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from classroom.archive.journal import Init, Segment
from classroom.archive.manifest import Manifest, RenditionManifest
from classroom.archive.names import init_name, segment_name

Files = Mapping[str, Init | Segment]
"""By "rendition/name"."""


@dataclass(frozen=True, slots=True)
class View:
    """What a lesson consists of, for whoever plays or fetches it.

    growing: renditions with a segment that is being written now, and the second where that begins
    about, at the earliest. followed: a source's manifest counts; whole: and it is of a lesson that
    is over. told: seconds up to which it tells. files: every part, whether it is here or not.
    stand_ins: file to the digest of what was recorded here of the same moment, with losses; good
    to play until the part itself is here.
    """

    manifest: Manifest
    growing: Mapping[str, float]
    followed: bool
    whole: bool
    told: float
    files: Files
    stand_ins: Mapping[str, str]


def files_of(manifest: Manifest) -> dict[str, Init | Segment]:
    """Every part of a manifest by its place in the archive."""
    files: dict[str, Init | Segment] = {}
    for rendition in manifest.renditions:
        for init in rendition.inits:
            files[f"{rendition.name}/{init_name(init.number)}"] = init
        for segment in rendition.segments:
            files[f"{rendition.name}/{segment_name(segment.beat, segment.part)}"] = segment
    return files


def view(
    source: Manifest | None, local: Manifest | None, growing: Mapping[str, float] | None = None
) -> View:
    """The view of what a source tells (None: nothing) and what was recorded here (None: nothing).

    A finished lesson is what the source says. While one runs, the source says what it was up to
    the end of its manifest, and from there on it goes on with what is recorded here. One of the two
    must be given.
    """
    growing = growing or {}
    if source is None:
        assert local is not None, "something is known of the lesson"
        return View(local, growing, False, False, 0.0, files_of(local), {})
    same = local is not None and _same_time(source, local)
    told = source.duration_ms / 1000
    if source.finished or local is None:
        growing = {}
        merged = source
    elif not same:
        # Two recordings that cannot stand beside each other: the one here is the one that goes on.
        return View(local, growing, False, False, told, files_of(local), {})
    else:
        merged = _joined(source, local)
    files = files_of(merged)
    stand_ins = _stand_ins(merged, local) if same and local is not None else {}
    return View(merged, growing, True, source.finished, told, files, stand_ins)


def hole(view: View) -> tuple[str, str] | None:
    """A part that a running lesson should have and that nobody has told of: the link was down while
    it was taught. (rendition, name), of the voice if it has one; None when nothing is missing.

    The source, asked for it, tells of all that was missed meanwhile.
    """
    manifest = view.manifest
    if manifest.finished:
        return None
    voice = manifest.rendition("voice")
    # A weak link brings layers of the picture by turns, which is no outage; the voice always comes.
    for rendition in manifest.renditions if voice is None else (voice,):
        ticks = rendition.timescale
        beat = manifest.beat_ms * ticks // 1000
        end = 0
        for segment in rendition.segments:
            first = -(-end // beat)
            if end >= view.told * ticks and first * beat + ticks < segment.start:
                return rendition.name, segment_name(first, 0)
            end = segment.start + segment.duration
    return None


def _same_time(source: Manifest, local: Manifest) -> bool:
    """Whether both count media time alike, so that their segments can stand beside each other."""
    return (source.epoch_ms, source.beat_ms) == (local.epoch_ms, local.beat_ms)


def _joined(source: Manifest, local: Manifest) -> Manifest:
    names = sorted({r.name for r in source.renditions} | {r.name for r in local.renditions})
    renditions = tuple(_rendition(source.rendition(name), local.rendition(name)) for name in names)
    # What ended here is over, also while the source cannot be asked for the end.
    return replace(source, finished=local.finished, renditions=renditions)


def _rendition(
    source: RenditionManifest | None, local: RenditionManifest | None
) -> RenditionManifest:
    if source is None or local is None:
        found = source or local
        assert found is not None, "one of the two has a rendition of this name"
        return found
    if conflicting(source, local):
        return local
    known = {init.number for init in source.inits}
    inits = (*source.inits, *(init for init in local.inits if init.number not in known))
    tail = tuple(segment for segment in local.segments if segment.start >= source.end)
    gaps = tuple(gap for gap in local.gaps if gap.start >= source.end)
    return replace(
        source,
        inits=tuple(sorted(inits, key=lambda init: init.number)),
        segments=(*source.segments, *_named_once(source, tail)),
        gaps=(*source.gaps, *gaps),
    )


def _named_once(source: RenditionManifest, tail: tuple[Segment, ...]) -> tuple[Segment, ...]:
    taken = {(segment.beat, segment.part) for segment in source.segments}
    return tuple(segment for segment in tail if (segment.beat, segment.part) not in taken)


def conflicting(source: RenditionManifest, local: RenditionManifest) -> bool:
    """Whether one number stands for two initialisation files: their segments cannot be mixed."""
    digests = {init.number: init.digest for init in source.inits}
    return any(digests.get(init.number, init.digest) != init.digest for init in local.inits)


def _stand_ins(merged: Manifest, local: Manifest) -> dict[str, str]:
    found: dict[str, str] = {}
    for rendition in local.renditions:
        counted = merged.rendition(rendition.name)
        if counted is None or conflicting(counted, rendition):
            continue
        by_place = {(segment.beat, segment.part): segment for segment in counted.segments}
        for segment in rendition.segments:
            real = by_place.get((segment.beat, segment.part))
            if real is None or real.digest == segment.digest:
                continue
            # It must not reach into what follows, nor begin elsewhere: players count on the times.
            within = segment.duration <= real.duration + rendition.timescale
            if (real.start, real.init) == (segment.start, segment.init) and within:
                name = segment_name(segment.beat, segment.part)
                found[f"{rendition.name}/{name}"] = segment.digest
    return found
