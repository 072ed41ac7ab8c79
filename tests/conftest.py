"""Rules for the whole test run: a test that did not run, may fail or does not end, fails the run.

Lives here: only what every test shares. Fixtures of real processes and browsers live in
tests/live; fake peers in tests/fakes. A skip or an expected failure would let a broken feature
look finished, so both end the run with exit code 1 and are listed. A test that does not end is
stopped and says where each of its tasks waits; where even that cannot be (a library holds the
interpreter), `faulthandler_timeout` in pyproject.toml ends the run with the place.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Final

import pytest

from tests import waiting

# Four times what the longest takes on two busy processors; with its fixtures.
TEST_SECONDS: Final = 240.0

_not_run = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_not_run] = []
    config.pluginmanager.register(_NoExcuses(config.stash[_not_run]), "no-excuses")


class _NoExcuses:
    """Collects the names of tests that were skipped or marked as expected to fail."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._names.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or hasattr(report, "wasxfail"):
            self._names.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._names and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._names:
            terminalreporter.section("skipped or expected to fail: the run fails")
            for name in self._names:
                terminalreporter.line(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _stop(number: int, frame: FrameType | None) -> None:
    pytest.fail(f"did not end within {TEST_SECONDS:.0f} s.\n{waiting.places()}")


@pytest.fixture(autouse=True)
def _share_the_processor() -> Iterator[None]:
    """SVT-AV1, run as root, puts the whole process above all others; the tests go back."""
    yield
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(autouse=True)
def _let_no_log_outlive_its_test() -> Iterator[None]:
    """A command that was run sends all logs to an error stream that is closed after its test."""
    root = logging.getLogger()
    level = root.level
    yield
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
    root.setLevel(level)
