"""When a voice and a picture came to a room, at first and after the link was away. Pure.

Lives here: moments in the rows of `weaklink_page.js`. Must not live here: shares and rates of a
stretch of time (`weaklink_figures`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tests.bench.weaklink_figures import Figures, Row, counter, grown

_STEADY_S: Final = 1.0
_STEADY_SHARE: Final = 0.05  # of a steady second may be concealed


def first(rows: Sequence[Row], test: Callable[[Row], bool]) -> float | None:
    """Page time of the first row for which `test` holds, or None."""
    return next((float(row["t"]) for row in rows if test(row)), None)


def first_media(rows: Sequence[Row]) -> dict[str, float | None]:
    """Page time of the first voice packet, the first picture, still or not, and the first that
    moved."""
    return {
        "voice": first(rows, lambda row: counter(row, "voice", "packetsReceived") > 0),
        "picture": first(
            rows,
            lambda row: (
                counter(row, "camera", "framesDecoded") > 0 or bool(row["state"].get("still"))
            ),
        ),
        "moving": first(rows, lambda row: counter(row, "camera", "framesDecoded") > 0),
    }


def joined(rows: Sequence[Row], opened: float) -> Figures:
    """Seconds from opening the page to each of `first_media`."""
    return {
        f"join_{name}_s": None if at is None else at - opened
        for name, at in first_media(rows).items()
    }


def join_steps(
    rows: Sequence[Row], opened: float, loading: dict[str, float | None]
) -> dict[str, float | None]:
    """Seconds from opening the page to each step of joining; loading: as the page noted, in ms."""
    steps = {name: None if at is None else at / 1e3 for name, at in loading.items()}
    found: dict[str, float | None] = {
        "ice": first(rows, lambda row: row.get("ice") in ("connected", "completed")),
        "dtls": first(rows, lambda row: row.get("dtls") == "connected"),
        **first_media(rows),
    }
    return steps | {name: None if at is None else at - opened for name, at in found.items()}


def resumed(rows: Sequence[Row], away: float, returned: float) -> Figures:
    """After an outage from `away` to `returned`: seconds until things came back, or None.

    Steady voice is the beginning of the first second of which nearly all was spoken.
    """
    before = [row for row in rows if row["t"] <= returned]
    after = [row for row in rows if row["t"] > returned]
    known = [row for row in rows if row["t"] <= away]
    packets = _last(before, "voice", "packetsReceived")
    frames = _last(before, "camera", "framesDecoded")
    generation = known[-1]["state"].get("generation") if known else None

    def came(slot: str, name: str, most: float) -> float | None:
        # A counter below what it was belongs to a new connection.
        at = first(after, lambda row: 0 < counter(row, slot, name) != most)
        return None if at is None else at - returned

    return {
        "voice_back_s": came("voice", "packetsReceived", packets),
        "voice_steady_s": _steady(after, returned),
        "picture_back_s": came("camera", "framesDecoded", frames),
        "same_session": bool(after) and after[-1]["state"].get("generation") == generation,
    }


def _last(rows: Sequence[Row], slot: str, name: str) -> float:
    return counter(rows[-1], slot, name) if rows else 0.0


def _steady(rows: Sequence[Row], since: float) -> float | None:
    for index, row in enumerate(rows):
        second = [one for one in rows[index:] if one["t"] <= row["t"] + _STEADY_S]
        if second[-1] is rows[-1]:
            return None
        samples = grown(second, "voice", "totalSamplesReceived")
        concealed = grown(second, "voice", "concealedSamples")
        packets = grown(second, "voice", "packetsReceived")
        if packets > 0 and samples > 0 and concealed <= _STEADY_SHARE * samples:
            return float(row["t"]) - since
    return None


def back_up(rows: Sequence[Row], fell: float, returned: float) -> float | None:
    """Seconds after `returned` until the picture has the lines again that it had at `fell`."""
    known = [row for row in rows if row["t"] <= fell]
    height = _last(known, "camera", "frameHeight")
    at = first(
        [row for row in rows if row["t"] > returned],
        lambda row: counter(row, "camera", "frameHeight") >= height > 0,
    )
    return None if at is None else at - returned
