"""`python -m tests.bench NAME`: the benchmarks behind every figure of the README.

Each is a module with `add_arguments(parser)` and `run(args) -> int`. Figures are ratios within one
run, or counts; machines are noisy, so quote medians of several runs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Final

BENCHMARKS: Final = {
    "archive": "a school's own copy: library, replay, idle machine, power cuts, sync, tree",
    "codecs": "what each video codec gives a room and costs a teacher, and what voice costs",
    "fanout": "what forwarding costs per packet, against the floor",
    "join": "how long a viewer waits for a picture, and a crowd that comes back",
    "rooms": "many rooms, half of them poor, in virtual time",
    "weaklink": "what a room has of a lesson over weak links, in real browsers",
    "repairs": "what a browser makes of redundant voice and of repairs under loss",
}


def main() -> int:
    """Run one benchmark; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    commands = parser.add_subparsers(dest="name", required=True)
    for name, text in BENCHMARKS.items():
        subparser = commands.add_parser(name, help=text)
        if sys.argv[1:2] == [name]:
            importlib.import_module(f"tests.bench.{name}").add_arguments(subparser)
    args = parser.parse_args()
    code: int = importlib.import_module(f"tests.bench.{args.name}").run(args)
    return code


if __name__ == "__main__":
    sys.exit(main())
