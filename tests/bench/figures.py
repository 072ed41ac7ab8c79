"""Figures that a benchmark prints with the bound that each is held to.

A figure is one number with its unit and the least or most that it may be; whether it holds follows
from both. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `most` and `least` are inclusive bounds in the same unit; None is unbounded.

    name: words of its own within its scenario. unit: "" for a ratio or a count.
    """

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the number is within its bounds; one without bounds always is, NaN never."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def as_json(self) -> dict[str, Any]:
        """The figure with its bounds, for programs."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "most": self.most,
            "least": self.least,
            "holds": self.holds,
        }


def table(scenario: str, figures: Sequence[Figure]) -> str:
    """The figures as lines for people."""
    lines = [f"{scenario}:"]
    for figure in figures:
        bounds = [f"≤ {figure.most:g}"] if figure.most is not None else []
        bounds += [f"≥ {figure.least:g}"] if figure.least is not None else []
        verdict = "" if not bounds else "holds" if figure.holds else "DOES NOT HOLD"
        unit = f" {figure.unit}" if figure.unit else ""
        text = f"  {figure.name}: {figure.value:,.6g}{unit}"
        if bounds:
            text += f" ({', '.join(bounds)}{unit}: {verdict})"
        lines.append(text)
    return "\n".join(lines)
