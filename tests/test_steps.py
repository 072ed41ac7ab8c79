"""A step of the whole run comes to an end and says why, whatever its command does.

Real processes.
"""

from __future__ import annotations

import io
import sys

from tests import steps
from tests.steps import Step


def _python(words: str) -> Step:
    return Step("a step", [sys.executable, "-c", words])


def test_a_step_that_ends_tells_its_code_and_last_line() -> None:
    out = io.StringIO()
    outcome = steps.run(_python("print('one'); print('two'); print(); exit(3)"), out)
    assert (outcome.code, outcome.last_line) == (3, "two")
    assert out.getvalue().endswith("one\ntwo\n\n")


def test_a_step_that_does_not_end_says_where_it_stands() -> None:
    out = io.StringIO()
    words = "import time\ndef forever(): time.sleep(600)\nforever()"
    outcome = steps.run(_python(words), out, limit=2.0)
    assert outcome.code != 0
    assert "in forever" in out.getvalue()
    assert outcome.last_line == "a step did not end within 2 s and was stopped"


def test_a_step_that_cannot_be_told_is_killed() -> None:
    out = io.StringIO()
    words = "import faulthandler, signal, time\nfaulthandler.disable()\n"
    words += "signal.signal(signal.SIGABRT, signal.SIG_IGN)\ntime.sleep(600)"
    outcome = steps.run(_python(words), out, limit=2.0, patience=0.2)
    assert outcome.code == -9


def test_what_a_step_leaves_behind_is_named_ended_and_fails_it() -> None:
    out = io.StringIO()
    words = "import subprocess\nsubprocess.Popen(['sleep', '600'], start_new_session=True)"
    outcome = steps.run(_python(words), out, patience=0.5)
    assert outcome.code == steps.FAILED
    assert outcome.last_line == "a step left a process behind: sleep 600"
