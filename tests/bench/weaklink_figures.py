"""What a room's own statistics say of a lesson over a weak link. Pure.

Lives here: from rows of `weaklink_page.js` to figures, with the definitions of W3C webrtc-stats.
Must not live here: browsers, links, medians, tables.

The voice's share that was concealed is concealedSamples of totalSamplesReceived, whole. Of these
silentConcealedSamples are silence, into which a browser fades when a loss goes on; they are lost
speech too, so they count, and the share without them stands beside it.

A picture is frozen for totalFreezesDuration and totalPausesDuration together: the standard calls a
freeze of more than five seconds a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

Row = dict[str, Any]
Figures = dict[str, Any]

SAMPLE_RATE: Final = 48_000
_PICTURELESS: Final = ("stills", "voice", "catch-up")  # rungs
_STILL_S: Final = 1.0  # a picture that stands so long at the end is a freeze without an end yet
_WHOLLY: Final = 0.9  # of an interval concealed: no speech in it


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end` in seconds of page time."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in it."""
        return [row for row in rows if self.start <= row["t"] <= self.end]


def counter(row: Row, slot: str, name: str) -> float:
    """A counter of a row; 0 before the slot has anything."""
    return float(row.get(slot, {}).get(name, 0))


def grown(rows: Sequence[Row], slot: str, name: str) -> float:
    """How much a counter grew; one that fell began anew with another connection."""
    total = 0.0
    for before, after in pairwise(rows):
        was, now = counter(before, slot, name), counter(after, slot, name)
        total += now - was if now >= was else now
    return total


def voice(rows: Sequence[Row], window: Window) -> Figures:
    """How the voice fared."""
    inside = window.of(rows)
    samples = grown(inside, "voice", "totalSamplesReceived")
    concealed = grown(inside, "voice", "concealedSamples")
    silent = grown(inside, "voice", "silentConcealedSamples")
    played = grown(inside, "voice", "jitterBufferEmittedCount")
    delay = grown(inside, "voice", "jitterBufferDelay")
    return {
        "concealed_pct": 100.0 * concealed / samples if samples else 100.0,
        "concealed_audible_pct": 100.0 * (concealed - silent) / samples if samples else 100.0,
        "voice_gap_s": voice_gap(inside) if samples else window.seconds,
        "voice_buffer_ms": 1e3 * delay / played if played else None,
        "voice_nacks": grown(inside, "voice", "nackCount"),
    }


def voice_gap(rows: Sequence[Row]) -> float:
    """The longest time without speech, in seconds; a row apart at most too long.

    Concealment in neighbouring intervals is one gap if nothing else was played between.
    """
    longest = running = 0.0
    for before, after in pairwise(rows):
        pair = (before, after)
        concealed = grown(pair, "voice", "concealedSamples") / SAMPLE_RATE
        samples = grown(pair, "voice", "totalSamplesReceived") / SAMPLE_RATE
        if samples == 0 and concealed == 0:
            continue
        running += concealed
        longest = max(longest, running)
        if concealed < _WHOLLY * samples:
            # Something was heard; the next gap may have begun at the end of this interval.
            running = concealed
    return longest


def picture(rows: Sequence[Row], window: Window) -> Figures:
    """How the camera's picture fared. Freezes count only while the rung has a moving picture."""
    inside = window.of(rows)
    heights = [counter(row, "camera", "frameHeight") for row in inside]
    parts = [pair for pair in pairwise(inside) if pair[1]["state"].get("rung") not in _PICTURELESS]
    moving = sum(float(after["t"] - before["t"]) for before, after in parts)
    shown = sum(grown(pair, "camera", "framesDecoded") for pair in parts)
    frozen = _frozen(inside, window)
    return {
        "fps": grown(inside, "camera", "framesDecoded") / window.seconds,
        "moving_fps": shown / moving if moving > _STILL_S else None,
        "height": sorted(heights)[len(heights) // 2] if heights else 0.0,
        "freeze_pct": 100.0 * min(1.0, frozen / moving) if moving > _STILL_S else None,
        "picture_gap_s": picture_gap(inside, window),
        "still_age_s": still_age(inside, window),
        "plis": grown(inside, "camera", "pliCount"),
        "video_nacks": grown(inside, "camera", "nackCount"),
    }


def _frozen(rows: Sequence[Row], window: Window) -> float:
    """The browser's own freezes, and those that no picture ended, in seconds."""
    total = 0.0
    last = since = window.start
    for before, after in pairwise(rows):
        pair = (before, after)
        if after["state"].get("rung") in _PICTURELESS:
            # Stills may be what ended it.
            open_end = float(after["t"]) - last
            total += open_end if open_end > _STILL_S else 0.0
            last = since = float(after["t"])
            continue
        # It is counted when it ends, though it may have begun before: among stills, for one.
        stood = grown(pair, "camera", "totalFreezesDuration")
        stood += grown(pair, "camera", "totalPausesDuration")
        total += min(stood, float(after["t"]) - since)
        if grown(pair, "camera", "framesDecoded") > 0:
            last = float(after["t"])
    open_end = window.end - last
    return total + (open_end if open_end > _STILL_S else 0.0)


def picture_gap(rows: Sequence[Row], window: Window) -> float:
    """The longest time without a new picture, in seconds, of the whole window."""
    times = [window.start]
    for before, after in pairwise(rows):
        if grown((before, after), "camera", "framesDecoded") > 0:
            times.append(float(after["t"]))
    times.append(window.end)
    return max(after - before for before, after in pairwise(times))


def still_age(rows: Sequence[Row], window: Window) -> float | None:
    """How old the oldest picture to be seen became while the rung was stills, in seconds; or None.

    The page tells when a still was captured in milliseconds since 1970, which page time is too.
    Where moving pictures have just ended, the last of them is what is seen.
    """
    oldest: float | None = None
    moved = window.start
    for before, after in pairwise(rows):
        if grown((before, after), "camera", "framesDecoded") > 0:
            moved = float(after["t"])
        if after["state"].get("rung") == "stills":
            seen = max(moved, (after["state"].get("still") or 0.0) / 1e3)
            oldest = max(oldest or 0.0, float(after["t"]) - seen)
    return oldest


def height_within(rows: Sequence[Row], until: float) -> float:
    """The most lines that the camera's picture had by `until`."""
    return max(
        (counter(row, "camera", "frameHeight") for row in rows if row["t"] <= until), default=0
    )


def rungs(rows: Sequence[Row], opened: float) -> list[tuple[float, str]]:
    """(seconds since opening, what the room had from then on): rung and its reason, lines."""
    found: list[tuple[float, str]] = []
    for row in rows:
        reason = row["state"].get("reason")
        name = _rung(row) + (f" ({reason})" if reason else "")
        if name and (not found or found[-1][1] != name):
            found.append((round(float(row["t"]) - opened, 1), name))
    return found


def rung_shares(rows: Sequence[Row], window: Window) -> dict[str, float]:
    """Rung and lines → share of the window that the room had them, the largest first."""
    spent: dict[str, float] = {}
    for before, after in pairwise(window.of(rows)):
        name = _rung(after) or "nothing"
        spent[name] = spent.get(name, 0.0) + float(after["t"] - before["t"])
    total = sum(spent.values())
    ordered = sorted(spent, key=lambda name: -spent[name])
    return {name: spent[name] / total for name in ordered}


def _rung(row: Row) -> str:
    """Lines are of the last picture, so they say nothing where the rung has none."""
    rung = row["state"].get("rung") or ""
    lines = counter(row, "camera", "frameHeight")
    return f"{rung} {lines:.0f}".strip() if lines and rung not in _PICTURELESS else str(rung)


def kinds(sdp: str) -> dict[int, str]:
    """Payload type → voice, video, rtx or fec, by a session's description (RFC 8866 6.6)."""
    found: dict[int, str] = {}
    section = ""
    for line in sdp.splitlines():
        if line.startswith("m="):
            section = line[2:].split()[0]
        elif line.startswith("a=rtpmap:"):
            number, codec = line.removeprefix("a=rtpmap:").split()[:2]
            name = codec.partition("/")[0].lower()
            media = "voice" if section == "audio" else section
            found[int(number)] = {"rtx": "rtx", "flexfec-03": "fec"}.get(name, media)
    return found


def by_kind(flows: dict[str, tuple[int, int]], known: dict[int, str]) -> dict[str, int]:
    """Bytes on the link by kind; flows as `tests.link.Side` names them.

    Voice sent again has the voice's own SSRC, so it counts as voice.
    """
    found: dict[str, int] = {}
    for name, (_, size) in flows.items():
        words = name.split()
        if words[0] == "rtp":
            kind = known.get(int(words[1]), "unknown")
            name = "padding" if words[2].endswith("+padding") else kind
        found[name] = found.get(name, 0) + size
    return found
