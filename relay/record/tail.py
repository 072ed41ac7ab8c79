"""The segment that grows, in pieces that a player may have at once: HLS parts.

Here: where the whole fragments of a segment lie in its file, and the lines that list them (RFC
8216bis 4.4.4.9). Not here: which playlist they belong to (`hls`), files (`relay.web.tails`). A room
that watches a lesson late comes by them within seconds of what is taught; whole segments alone
would end a beat before it. PURE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from relay.record.cmaf_read import scan

PART_TARGET: Final = 1.5
"""s; of a fragment, which is cut on whole seconds but for what does not fit (FORMAT.md)."""
QUERY: Final = "tail"
"""In the address of a playlist: with parts, please. In a segment's: it may still grow."""
HOLD_BACK: Final = 3 * PART_TARGET
"""s behind the newest part where players like to be; they ask for no less (RFC 8216bis 4.4.3.8)."""


@dataclass(frozen=True, slots=True)
class Part:
    """start, end: ticks of media time. offset, size: bytes in the segment's file. key: a picture
    begins in it that needs no other."""

    start: int
    end: int
    offset: int
    size: int
    key: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """A segment in parts. name: of the file when it is whole. init: its initialisation file's
    number. take: its publisher's."""

    name: str
    init: int
    take: int
    parts: tuple[Part, ...]


def parts_of(data: bytes) -> tuple[Part, ...]:
    """The whole fragments of a segment that may still grow."""
    found = scan(data)
    parts: list[Part] = []
    first = offset = 0
    for samples, end in found.cuts:
        of = found.samples[first:samples]
        finish = of[-1].start + of[-1].duration
        key = any(sample.key for sample in of)
        parts.append(Part(of[0].start, finish, offset, end - offset, key))
        first, offset = samples, end
    return tuple(parts)


def head() -> list[str]:
    """What a playlist with parts says before its segments."""
    return [
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={HOLD_BACK}",
        f"#EXT-X-PART-INF:PART-TARGET={PART_TARGET}",
    ]


def lines(tail: Tail, ticks: int, uri: str) -> Iterator[str]:
    """One line for each part. uri: of the whole segment; a part is a range of it."""
    growing = _growing(uri)
    for part in tail.parts:
        length = (part.end - part.start) / ticks
        independent = ",INDEPENDENT=YES" if part.key else ""
        yield (
            f'#EXT-X-PART:DURATION={length:.5f},URI="{growing}",'
            f'BYTERANGE="{part.size}@{part.offset}"{independent}'
        )


def hint(uri: str, offset: int) -> str:
    """What will be listed next: from `offset` on in the segment at `uri`.

    hls.js 1.7 takes a whole segment that ends a list with parts for a growing one, unless a line
    follows it.
    """
    return f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{_growing(uri)}",BYTERANGE-START={offset}'


def _growing(uri: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{QUERY}=1"


def is_listed(playlist: str, sequence: int, part: int | None) -> bool:
    """Whether `playlist` has what a player waits for (RFC 8216bis 6.2.5.2): the segment with number
    `sequence`, or of the one that grows there the part with number `part`."""
    whole = playlist.count("#EXTINF:")
    if whole > sequence or part is None or whole < sequence:
        return whole > sequence
    return playlist[playlist.rfind("#EXTINF:") :].count("#EXT-X-PART:") > part
