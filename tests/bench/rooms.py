"""`python -m tests.bench rooms`: many rooms on one lesson, half of them poor, in virtual time.

Prints how many keyframes the teacher is asked for beside the same lesson with one room, whether
poor rooms touch what good ones see, and what of the voice the poor ones get. The story itself is
tests.scenarios.many_rooms. Takes about a quarter of an hour with the usual numbers.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from tests.scenarios.many_rooms import tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rooms`."""
    parser.add_argument("--rooms", type=int, default=200, help="how many at once")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the lesson")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Tell both stories and print."""
    alone = tell(1, 60.0 * args.minutes)
    many = tell(args.rooms, 60.0 * args.minutes)
    if args.json:
        print(json.dumps({"alone": asdict(alone), "many": asdict(many)}))
        return 0
    print(
        f"{args.rooms} rooms, {many.joined} in all: the teacher was asked for {many.requests} "
        f"keyframes (with one room {alone.requests}); good rooms missed {many.missing} packets and "
        f"waited {many.longest:.2f} s for a picture at most; poor rooms heard "
        f"{100 * many.spoken:.2f} % of the voice"
    )
    return 0
