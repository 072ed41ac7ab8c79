"""The options that describe a weak link on a command line.

Lives here: their declaration, and the link that given options mean. Must not live here: running
links (`tests.link`).
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from tests.link_model import Direction, Step
from tests.link_presets import PRESETS, QUEUES, SCENARIOS, Link


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("--preset", default="4g-hill", help="a link by its name (see --list)")
    parser.add_argument("--list", action="store_true", help="name the links and leave")
    parser.add_argument("--queue", choices=QUEUES, default="packets", help="what queues count")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness; default 0")
    parser.add_argument("--rate", type=float, metavar="KBIT", help="another rate down, kbit/s")
    parser.add_argument("--up-rate", type=float, metavar="KBIT", help="another rate up, kbit/s")
    parser.add_argument("--delay", type=float, metavar="MS", help="another delay, ms one way")
    parser.add_argument("--jitter", type=float, metavar="MS", help="another jitter, ms")
    parser.add_argument("--loss", type=float, metavar="PERCENT", help="another loss")
    parser.add_argument("--burst", type=float, metavar="PACKETS", help="mean losses in a row")
    parser.add_argument(
        "--fall",
        action="append",
        default=[],
        metavar="AT:SECONDS:KBIT",
        help="from AT (s) for SECONDS the link has KBIT kbit/s, 0 for an outage; may be repeated",
    )


def chosen(args: argparse.Namespace) -> Link:
    """The link that the options name; raises ValueError with a sentence for a person."""
    links = PRESETS | SCENARIOS
    if args.preset not in links:
        raise ValueError(f"there is no link {args.preset}; there are {', '.join(links)}")
    link = links[args.preset]
    falls = [tuple(map(float, one.split(":"))) for one in args.fall]
    if any(len(fall) != 3 for fall in falls):
        raise ValueError("--fall wants AT:SECONDS:KBIT")
    down = _changed(link.down, args, args.rate, falls)
    up = _changed(link.up, args, args.up_rate, falls)
    return replace(link, down=down, up=up).queued(args.queue)


def _changed(
    like: Direction,
    args: argparse.Namespace,
    rate: float | None,
    falls: list[tuple[float, ...]],
) -> Direction:
    units = {"delay": 1e-3, "jitter": 1e-3, "loss": 1e-2, "burst": 1.0}
    given = {name: getattr(args, name) for name in units}
    changes = {name: value * units[name] for name, value in given.items() if value is not None}
    if rate is not None:
        changes["rate"] = rate * 1e3
    # All at once: a loss and a burst may be possible together alone.
    like = replace(like, **changes)
    script = list(like.script)
    for at, seconds, kbit in falls:
        script += [Step(at, min(kbit * 1e3, like.rate)), Step(at + seconds, like.rate)]
    return replace(like, script=tuple(sorted(script, key=lambda step: step.at)))
