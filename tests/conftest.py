"""Rules for the whole test run: a test that did not run, or may fail, fails the run.

Lives here: only what every test shares. Fixtures of real processes and browsers live in
tests/live; fake peers in tests/fakes. A skip or an expected failure would let a broken feature
look finished, so both end the run with exit code 1 and are listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

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


@pytest.fixture(autouse=True)
def _share_the_processor() -> Iterator[None]:
    """SVT-AV1, run as root, puts the whole process above all others; the tests go back."""
    yield
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
