"""How a relay fares, in words: which facts lead to which advice, and each has its sentences."""

from __future__ import annotations

import copy
import json
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from classroom.errors import Misuse
from relay import status_command
from relay.power import Power
from relay.status_words import LANGUAGES, describe, describe_stopped, size
from relay.web.advice import LEVELS, advise
from tests.test_architecture import ROOT

NOW = 1_800_000_000.0
OF_A_STOPPED_RELAY = ("not-running", "was-cut-off", "not-answering")
WELL: dict[str, Any] = {
    "name": "Trà Leng",
    "version": "0.1.0",
    "now": NOW,
    "started_at": NOW - 9.0,
    "parts": {"media": True, "recorder": True},
    "restarts": 0,
    "parent": {
        "url": "https://relay.example:8081",
        "connected": True,
        "reached": True,
        "since": NOW - 5.0,
        "path": ["root"],
        "enrolled": True,
        "refused": False,
        "turned_away": None,
        "problem": None,
    },
    "central": None,
    "link": {"rate": 240_000.0, "round_trip": 0.31, "loss": 0.02},
    "lessons": {"held": 120, "bytes": 30_000_000_000, "live": 1, "rooms": 2},
    "space": {"held": 30, "quota": 100, "free": 9_000_000, "floor": 5, "full": False},
    "damaged": 0,
    "sync": {
        "state": "fetching",
        "lessons_left": 3,
        "bytes_left": 600_000_000,
        "finish_at": NOW + 3_600.0,
        "sources": [{"name": "parent", "rubbish": 0}],
    },
    "materials": {
        "lessons": 3,
        "whole": 3,
        "lists_left": 0,
        "files_left": 0,
        "bytes_left": 0,
        "lessons_without_room": 0,
        "soon_without_room": 0,
        "files_without_room": 0,
        "bytes_without_room": 0,
    },
    "power": {"last": None, "cuts_30_days": 0},
    "clock_wrong": False,
}


def with_(path: str, value: Any) -> dict[str, Any]:
    """The good state with one fact changed; `path` has dots."""
    facts = copy.deepcopy(WELL)
    *folders, name = path.split(".")
    place = facts
    for folder in folders:
        place = place[folder]
    place[name] = value
    return facts


def told(facts: dict[str, Any]) -> dict[str, Any]:
    return facts | {"advice": [{"name": one, "level": LEVELS[one]} for one in advise(facts)]}


def cut(days_ago: float, kind: str = "power", at: float | None = NOW) -> dict[str, Any]:
    return {"kind": kind, "at": at, "back_at": NOW - 86_400.0 * days_ago}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (WELL, ["all-well"]),
        (with_("parts.media", False), ["media-down"]),
        (with_("parts.recorder", False), ["recorder-down"]),
        (with_("parent.connected", False), ["parent-away"]),
        (with_("parent.reached", False), ["school-away"]),
        (with_("parent.enrolled", False), ["not-enrolled"]),
        (with_("parent.refused", True), ["code-refused"]),
        (with_("parent.turned_away", "relay-revoked"), ["taken-back"]),
        (with_("parent.turned_away", "relay-loop"), ["wrong-parent"]),
        (with_("parent.turned_away", "relay-replaced"), ["all-well"]),
        (with_("space.full", True), ["disk-full"]),
        (with_("space.free", 4), ["disk-low"]),
        (with_("space.held", 98), ["quota-full", "all-well"]),
        (with_("damaged", 1), ["disk-damaged"]),
        (with_("materials.soon_without_room", 1), ["materials-no-room"]),
        (with_("restarts", 3), ["restarts-often"]),
        (with_("clock_wrong", True), ["clock-wrong"]),
        (with_("sync.sources", [{"name": "p", "rubbish": 2}]), ["source-rubbish"]),
        (with_("power.last", cut(6.9)), ["power-cut", "all-well"]),
        (with_("power.last", cut(7.1)), ["all-well"]),
        (with_("power.last", cut(-1.0)), ["all-well"]),  # the clock fell back
        (with_("power.last", cut(1.0, "killed")), ["was-killed", "all-well"]),
        (with_("power.cuts_30_days", 3), ["power-often"]),
    ],
)
def test_each_bad_state_has_its_advice(facts: dict[str, Any], expected: list[str]) -> None:
    assert advise(facts) == expected


def test_the_root_relay_has_a_central_school_and_no_parent() -> None:
    facts = with_("parent", None) | {"sync": None}
    assert advise(facts | {"central": {"url": "http://x:1", "connected": True}}) == ["all-well"]
    away = facts | {"central": {"url": "http://school:1", "connected": False}}
    assert advise(away) == ["central-away"]
    assert "school" in describe(told(away), "en")


def test_the_worst_comes_first() -> None:
    facts = with_("space.full", True) | {"clock_wrong": True, "restarts": 9}
    facts["power"] = {"last": cut(1.0), "cuts_30_days": 5}
    levels = [LEVELS[name] for name in advise(facts)]
    assert levels == sorted(levels, key=["bad", "warn", "note"].index)


def test_each_advice_has_its_sentence_in_each_language_of_command_and_page() -> None:
    vi, en = LANGUAGES["vi"], LANGUAGES["en"]
    assert vi.keys() == en.keys()
    for name in (*LEVELS, *OF_A_STOPPED_RELAY):
        assert vi[name] != en[name]
    for key in vi:
        fields = [set(re.findall(r"{(\w+)}", words[key])) for words in (vi, en)]
        assert fields[0] == fields[1], key


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_page_has_words_for_all_that_it_may_be_told(language: str) -> None:
    file = ROOT / "client_web" / "src" / "i18n" / f"status_{language}.ts"
    text = file.read_text(encoding="utf-8")
    assert set(re.findall(r"^    '([a-z-]+)': {", text, re.MULTILINE)) == set(LEVELS)
    # The states of the sync, which is also what the command has words for.
    states = {key.removeprefix("sync-") for key in LANGUAGES["en"] if key.startswith("sync-")}
    for state in states - {"left", "finish"}:
        assert f"\n    {state}: '" in text


@pytest.mark.parametrize("language", ["vi", "en"])
def test_all_that_is_known_is_told(language: str) -> None:
    text = describe(told(WELL), language)
    for words in ("Trà Leng", "relay.example", "240", "310", "2.0", "120", "30.0 GB", "600.0 MB"):
        assert words in text
    unknown = with_("link", {"rate": None, "round_trip": None, "loss": None})
    unknown["power"] = {"last": cut(1.0, at=None), "cuts_30_days": 1}
    for state in ("idle", "waiting", "live", "window", "budget", "disk", "import", "starting"):
        unknown["sync"] = WELL["sync"] | {"state": state, "finish_at": None, "lessons_left": 0}
        assert describe(told(unknown), language)


def test_sizes_are_told_for_people() -> None:
    assert [size(one) for one in (0, 999, 1_500, 2e6, 3.25e9, 4e12)] == [
        *("0 B", "999 B", "1.5 kB", "2.0 MB", "3.2 GB", "4.0 TB")
    ]


def options(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    status_command.add_command(parser.add_subparsers(dest="command"))
    return parser.parse_args(["status", *arguments])


def test_a_relay_that_does_not_run_is_told_from_one_that_was_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "archives" / "vat-ly").mkdir(parents=True)
    asked = options("--data", str(tmp_path), "--lang", "en", "--json")
    assert status_command.run(asked) == 1
    facts = json.loads(capsys.readouterr().out)
    assert (facts["lessons"]["held"], facts["advice"][0]["name"]) == (1, "not-running")
    Power(tmp_path).begin("http://127.0.0.1:9", NOW)
    assert status_command.run(asked) == 1
    assert json.loads(capsys.readouterr().out)["advice"][0]["name"] == "not-answering"
    mark = json.loads((tmp_path / "running.json").read_text())
    (tmp_path / "running.json").write_text(json.dumps(mark | {"pid": 2**22 + 1}))
    assert status_command.run(asked) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["advice"][0]["name"] == "was-cut-off"
    assert "cut off" in describe_stopped(facts, "en")


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="none-such"):
        status_command.run(options("--data", str(tmp_path / "none-such")))


@contextmanager
def closed(*paths: Path) -> Iterator[None]:
    """Nobody may look into these directories and files, and the test is nobody."""
    own = os.geteuid()
    for path in paths:
        path.chmod(0)
    if not own:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(own)
        for path in paths:
            path.chmod(0o700)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that everybody may look into, as those of tests are not."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("shut", ["data", "data/archives", "etc", "etc/relay.toml"])
def test_who_may_not_look_is_told_to_ask_as_root(
    open_path: Path, shut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_path / "data" / "archives").mkdir(parents=True)
    (open_path / "etc").mkdir()
    config = open_path / "etc" / "relay.toml"
    config.write_text(f"data = {str(open_path / 'data')!r}\n")
    config.chmod(0o644)
    monkeypatch.setattr(status_command, "_USUAL_CONFIG", config)
    # Python loads what it needs of itself now: where it is installed nobody may look, perhaps.
    assert status_command.run(options("--lang", "en")) == 1
    with closed(open_path / shut), pytest.raises(Misuse, match="sudo classroom-relay status"):
        status_command.run(options("--lang", "en"))


@pytest.mark.parametrize(
    ("locale", "language"),
    [("en_US.UTF-8", "en"), ("vi_VN.UTF-8", "vi"), ("C.UTF-8", "vi"), ("", "vi")],
)
def test_the_language_is_the_sessions(
    locale: str, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", locale)
    status_command.run(options("--data", str(tmp_path)))
    assert LANGUAGES[language]["todo"] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("facts", "en", "vi"),
    [
        ({"lessons": 0, "whole": 0}, "no coming lesson has any", "chưa có bài sắp tới nào"),
        ({}, "of 3 coming lessons all here", "của 3 bài sắp tới: đã đủ"),
        (
            {"whole": 2, "files_left": 2, "bytes_left": 5_000_000},
            "of 3 coming lessons 2 all here; 2 files (5.0 MB) on the way",
            "của 3 bài sắp tới: 2 bài đã đủ; đang tải về 2 tệp (5.0 MB)",
        ),
        (
            {
                "whole": 1,
                "files_left": 5,
                "bytes_left": 9_000_000,
                "lessons_without_room": 2,
                "files_without_room": 3,
                "bytes_without_room": 8_000_000,
            },
            "2 files (1.0 MB) on the way; no room yet for 3 files (8.0 MB) of 2 lessons",
            "đang tải về 2 tệp (1.0 MB); chưa đủ chỗ cho 3 tệp (8.0 MB) của 2 bài",
        ),
        (
            {"whole": 1, "lists_left": 2},
            "1 all here; the lists of 2 lessons on the way",
            "đang hỏi danh sách của 2 bài",
        ),
    ],
)
def test_materials_of_lessons_to_come_are_told(facts: dict[str, int], en: str, vi: str) -> None:
    document = told(with_("materials", WELL["materials"] | facts))
    assert en in describe(document, "en")
    assert vi in describe(document, "vi")
