"""`python -m tests`: one command that checks everything, the one that continuous integration runs.

Lives here: the order of the steps (format, lint, types, web client, pytest), what runs beside
what, and the closing summary. Must not live here: how a step is run (`steps`), anything that a
test needs while it runs.

Exit codes: 0 all steps passed; 1 a step failed; 2 the machine lacks something (it says what).
A plain run leaves nothing out; `-k` and `--fast` are for people in the middle of a change.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TextIO

from tests import needs, steps
from tests.steps import ROOT, Outcome, Step

WEB: Final = ROOT / "client_web"
LIVE: Final = "tests/live"
# Live tests without a browser, which wait more than they compute: they run beside the pure ones,
# which keep one processor busy and need no other.
LIGHT: Final = (
    "tests/live/test_host.py",
    "tests/live/test_host_sources.py",
    "tests/live/test_central_api.py",
    "tests/live/test_central_process.py",
    "tests/live/test_central_refusals.py",
    "tests/live/test_central_sockets.py",
    "tests/live/test_demo.py",
    "tests/live/test_enrolment.py",
    "tests/live/test_hostile_rooms.py",
    "tests/live/test_hostile_udp.py",
    "tests/live/test_relay_api.py",
    "tests/live/test_relay_events.py",
    "tests/live/test_signalling.py",
)
# The same, beside those with a browser, so that both groups take about as long as their longest.
LATER: Final = (
    "tests/live/test_client_web.py",
    "tests/live/test_https.py",
    "tests/live/test_killed.py",
    "tests/live/test_killed_school.py",
    "tests/live/test_not_recorded.py",
    "tests/live/test_problems.py",
    "tests/live/test_recorder.py",
    "tests/live/test_recorder_disk.py",
    "tests/live/test_recorder_faults.py",
    "tests/live/test_school_relay.py",
    "tests/live/test_status.py",
    "tests/live/test_sync.py",
    "tests/live/test_trunk.py",
    "tests/live/test_weak_uplink.py",
    "tests/live/test_whip_clients.py",
)
# Three browsers at once, whose pictures are counted: it has both processors for itself.
LESSON: Final = "tests/live/test_lesson.py"
PYTHON_CODE: Final = ("classroom", "relay", "tests")


def main() -> int:
    """Run the steps that the command line asks for; returns the process's exit code."""
    arguments = _parse()
    lacking = needs.provide()
    if lacking:
        print("The tests cannot run on this machine yet:", file=sys.stderr)
        for sentence in lacking:
            print(f"  {sentence}", file=sys.stderr)
        return 2
    outcomes: list[Outcome] = []
    for lanes in _groups(arguments.k, arguments.fast):
        outcomes += _run_together(lanes)
    _summarise(outcomes)
    return 0 if all(outcome.code == 0 for outcome in outcomes) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests", description="Run every check.")
    parser.add_argument("-k", metavar="WORDS", help="only the Python tests whose name has WORDS")
    parser.add_argument(
        "--fast", action="store_true", help="leave out the web client and the live tests"
    )
    return parser.parse_args()


def _groups(words: str | None, fast: bool) -> list[list[list[Step]]]:
    """Groups in order; the lanes of one group run side by side, the steps of a lane in order."""
    python = [sys.executable, "-m"]
    web_python = [str(path.relative_to(ROOT)) for path in sorted(WEB.glob("*.py"))]
    code = [*PYTHON_CODE, *web_python]
    before = [
        [
            Step("ruff check", [*python, "ruff", "check", *code]),
            Step("ruff format", [*python, "ruff", "format", "--check", *code]),
            Step("mypy --strict", [*python, "mypy", "--strict", *code]),
        ]
    ]
    if not fast and (WEB / "package.json").exists():
        before.append(_web_steps())
    pytest = [*python, "pytest", "--durations=10"]
    if words is not None or fast:
        pytest += [] if words is None else ["-k", words]
        pytest += ["--ignore", LIVE] if fast else []
        return [before, [[Step("pytest", pytest)]]]
    elsewhere = [f"--ignore={path}" for path in (*LIGHT, *LATER, LESSON)]
    return [
        before,
        [
            [Step("pytest, pure", [*pytest, "--ignore", LIVE])],
            [Step("pytest, light", [*pytest, *LIGHT])],
        ],
        [[Step("pytest, lesson", [*pytest, LESSON])]],
        [
            [Step("pytest, live", [*pytest, LIVE, *elsewhere])],
            [Step("pytest, later", [*pytest, *LATER])],
        ],
    ]


def _web_steps() -> list[Step]:
    npx = [needs.find(needs.NPM) or "npm", "exec", "--no", "--"]
    steps = [
        Step("web format", [*npx, "prettier", "--check", "."], WEB),
        Step("web types", [*npx, "tsc", "--noEmit"], WEB),
        Step("web tests", [*npx, "vitest", "run"], WEB),
    ]
    installed = WEB / "node_modules" / ".package-lock.json"
    wanted = WEB / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
        steps.insert(0, Step("web install", [npx[0], "ci"], WEB))
    return steps


def _run_together(lanes: Sequence[Sequence[Step]]) -> list[Outcome]:
    """Run `lanes` side by side: the first shows its output as it comes, the others at their end."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        kept = [io.StringIO() for _ in lanes[1:]]
        running = [
            pool.submit(_run_lane, lane, out)
            for lane, out in zip(lanes, (sys.stdout, *kept), strict=True)
        ]
        outcomes = [outcome for one in running for outcome in one.result()]
    for out in kept:
        print(out.getvalue(), end="", flush=True)
    return outcomes


def _run_lane(lane: Sequence[Step], out: TextIO) -> list[Outcome]:
    return [steps.run(step, out) for step in lane]


def _summarise(outcomes: Sequence[Outcome]) -> None:
    print("\n=== summary")
    for outcome in outcomes:
        state = "ok    " if outcome.code == 0 else f"FAILED (exit {outcome.code})"
        print(f"{state} {outcome.step.name}, {outcome.seconds:.0f} s")
    # pytest's own closing lines, with the counts, close the whole run too.
    for outcome in outcomes:
        if outcome.step.name.startswith("pytest"):
            print(outcome.last_line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
