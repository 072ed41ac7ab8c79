"""Small decisions of publishing that need no network: answers as aiortc wants them, sentences."""

from __future__ import annotations

import argparse
import asyncio
import logging

import pytest
from aiortc.exceptions import InvalidStateError
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Absent, Misuse, Refused
from classroom.host import cli
from classroom.host.outlet import Outlet
from classroom.host.publisher import Publisher, spread
from classroom.host.sources import Source
from classroom.host.whip import Place, sentence

CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.1 8082 typ host\r\na=end-of-candidates\r\n"
HEAD = "v=0\r\na=ice-lite\r\n"


def test_candidates_of_the_first_section_reach_all() -> None:
    answer = f"{HEAD}m=audio 9 X 96\r\na=mid:0\r\n{CANDIDATE}m=video 9 X 97\r\na=mid:1\r\n"
    assert spread(answer) == f"{answer}{CANDIDATE}"


def test_sections_with_candidates_of_their_own_keep_them() -> None:
    own = CANDIDATE.replace("192.0.2.1", "192.0.2.2")
    answer = f"{HEAD}m=audio 9 X 96\r\n{CANDIDATE}m=video 9 X 97\r\n{own}"
    assert spread(answer) == answer


@given(st.text())
def test_any_text_survives(text: str) -> None:
    assert spread(text).startswith(text[:1])


def test_errors_are_told_in_a_sentence() -> None:
    refused = Refused(409, "lesson-taken", "Another teacher is live.", fix="Ask them to stop.")
    assert sentence(refused) == "Another teacher is live. Ask them to stop."
    assert sentence(Absent("The relay is away.", fix="Wait.")) == "The relay is away. Wait."
    assert sentence(Misuse("--size is wrong.")) == "--size is wrong."


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(["test:", "--lesson", "physics-9", *arguments]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "big"), "is not a picture size; write it like 1280x720"),
        (("--size", "9999x9999"), "--size must be between 64x64 and 1920x1080"),
        (("--rate", "0"), "--rate must be between 1 and 30"),
        (("--video-kbps", "1"), "--video-kbps must be between 50 and 8000"),
        (("--whip", "http://a", "--central", "http://b"), "contradict each other"),
        ((), "Starting a lesson needs a teacher's token"),
        (("--whip", "http://a", "--no-voice"), "test: comes with its own voice"),
        (("--whip", "http://a", "--screen", "--screen-from", "x"), "contradict each other"),
        (("--whip", "http://a", "--screen-from", "test:"), "test: can only be the first SOURCE"),
    ],
)
def test_a_wrong_command_is_misuse(
    arguments: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(cli.TOKEN_VARIABLE, raising=False)
    assert _run(*arguments) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert len(shown.splitlines()) == 1


class Broken(Source):
    """A source with a bug in it."""

    def __init__(self) -> None:
        super().__init__("broken", live=False)
        self.outlets = [Outlet("voice", "opus", live=False)]

    def _produce(self) -> None:
        raise ZeroDivisionError("a bug")


async def test_a_bug_in_a_sources_thread_is_raised_where_it_is_seen() -> None:
    async def nowhere() -> Place:
        raise Absent("Nobody is there.", fix="Wait.")

    source = Broken()
    source.start()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        async with asyncio.timeout(10):
            await Publisher([source], nowhere).run(asyncio.Event())
    source.stop()


def test_a_bug_ends_the_command_with_a_sentence_and_its_trace_in_the_log(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "open_sources", lambda args, options: [Broken()])
    with caplog.at_level(logging.ERROR):
        assert _run("--whip", "http://127.0.0.1:9/whip/physics-9") == 3
    assert "something broke that should not (ZeroDivisionError('a bug'))" in capsys.readouterr().err
    assert 'raise ZeroDivisionError("a bug")' in caplog.text


@pytest.mark.parametrize(
    ("error", "told"),
    [(InvalidStateError("RTCIceTransport is closed"), False), (ZeroDivisionError(), True)],
)
def test_what_was_closed_while_it_connected_leaves_no_trace(
    error: Exception,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def publish(publisher: Publisher, stop: asyncio.Event) -> None:
        context = {"message": "Task exception was never retrieved", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    monkeypatch.setattr(Publisher, "run", publish)
    assert _run("--whip", "http://127.0.0.1:9/whip/lesson") == 0
    assert ("never retrieved" in caplog.text) is told
