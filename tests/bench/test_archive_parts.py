"""The archive benchmark's own parts: its scenarios, and what a bound makes of a figure."""

from __future__ import annotations

import importlib

import pytest

from tests.bench.archive import scenarios
from tests.bench.figures import Figure, table


def test_each_scenario_can_be_run_and_says_what_it_tells() -> None:
    for name, text in scenarios().items():
        assert callable(importlib.import_module(f"tests.bench.archive_{name}").measure), name
        assert text, name


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("free", 7.0), True),
        (Figure("most", 50.0, "ms", most=50.0), True),
        (Figure("most", 50.1, "ms", most=50.0), False),
        (Figure("least", 0.9, least=0.9), True),
        (Figure("least", 0.89, least=0.9), False),
        (Figure("nothing was measured", float("nan"), most=1.0), False),
    ],
)
def test_a_figure_holds_within_its_bounds(figure: Figure, holds: bool) -> None:
    assert figure.holds is holds
    assert figure.as_json()["holds"] is holds


def test_people_read_each_figure_with_its_bound() -> None:
    text = table("library", [Figure("search", 12.5, "ms", most=50.0), Figure("lessons", 15_000)])
    assert text.splitlines() == [
        "library:",
        "  search: 12.5 ms (≤ 50 ms: holds)",
        "  lessons: 15,000",
    ]
    assert "DOES NOT HOLD" in table("library", [Figure("search", 51.0, "ms", most=50.0)])
