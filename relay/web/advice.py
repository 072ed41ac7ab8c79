"""What is not well with a relay, and so what a person should look at: names, worst first. Pure.

Here: which facts of the status document mean what. Not here: gathering the facts (`status`), the
sentences, which the page and the command line have for each name in each language. A name is for
good: metrics, pages and people's notes refer to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

BAD: Final = "bad"
"""Lessons suffer now: somebody must do something."""
WARN: Final = "warn"
"""Something will be missed if nobody looks at it."""
NOTE: Final = "note"
"""Good to know; nothing need be done."""

LEVELS: Final[Mapping[str, str]] = {
    "media-down": BAD,
    "recorder-down": BAD,
    "disk-full": BAD,
    "code-refused": BAD,
    "taken-back": BAD,
    "wrong-parent": BAD,
    "not-enrolled": WARN,
    "parent-away": WARN,
    "central-away": WARN,
    "school-away": WARN,
    "disk-low": WARN,
    "disk-damaged": WARN,
    "materials-no-room": WARN,
    "power-often": WARN,
    "restarts-often": WARN,
    "clock-wrong": WARN,
    "source-rubbish": WARN,
    "power-cut": NOTE,
    "was-killed": NOTE,
    "quota-full": NOTE,
    "all-well": NOTE,
}
"""Every advice with its level, in the order in which they are told."""

RECENT_DAYS: Final = 7.0
_OFTEN_CUTS: Final = 3  # in thirty days: a battery for the machine is cheaper than its disk
_OFTEN_RESTARTS: Final = 3
_QUOTA_FULL: Final = 0.97
_WRONG_PARENT: Final = ("relay-loop", "relay-not-root", "relay-too-deep")
_DAY: Final = 86_400.0


def advise(status: Mapping[str, Any]) -> list[str]:
    """The names of all advices that fit the status document, worst first; never empty."""
    found = set(_parts(status)) | set(_way_up(status)) | set(_disk(status)) | set(_past(status))
    if not any(LEVELS[name] != NOTE for name in found):
        found.add("all-well")
    return [name for name in LEVELS if name in found]


def _parts(status: Mapping[str, Any]) -> Iterator[str]:
    if not status["parts"]["media"]:
        yield "media-down"
    elif not status["parts"]["recorder"]:
        # Without media there is nothing to record: that alone is told.
        yield "recorder-down"
    if status["restarts"] >= _OFTEN_RESTARTS:
        yield "restarts-often"
    if status["clock_wrong"]:
        yield "clock-wrong"


def _way_up(status: Mapping[str, Any]) -> Iterator[str]:
    parent = status["parent"]
    if parent is None:
        if not status["central"]["connected"]:
            yield "central-away"
        return
    if parent["refused"]:
        yield "code-refused"
    elif not parent["enrolled"]:
        yield "not-enrolled"
    elif parent["turned_away"] == "relay-revoked":
        yield "taken-back"
    elif parent["turned_away"] in _WRONG_PARENT:
        yield "wrong-parent"
    elif not parent["connected"]:
        yield "parent-away"
    elif not parent["reached"]:
        yield "school-away"
    sync = status["sync"]
    if sync is not None and any(source["rubbish"] for source in sync["sources"]):
        yield "source-rubbish"


def _disk(status: Mapping[str, Any]) -> Iterator[str]:
    space = status["space"]
    if space["full"]:
        yield "disk-full"
    elif space["free"] < space["floor"]:
        yield "disk-low"
    if space["quota"] and space["held"] >= _QUOTA_FULL * space["quota"]:
        yield "quota-full"
    if status["damaged"]:
        yield "disk-damaged"
    if status["materials"]["soon_without_room"]:
        yield "materials-no-room"


def _past(status: Mapping[str, Any]) -> Iterator[str]:
    power = status["power"]
    if power["cuts_30_days"] >= _OFTEN_CUTS:
        yield "power-often"
    last = power["last"]
    if last is not None and 0 <= status["now"] - last["back_at"] < RECENT_DAYS * _DAY:
        yield "power-cut" if last["kind"] == "power" else "was-killed"
