"""The `classroom` command: finds the subcommand's module and runs it.

A subcommand is a module with `add_arguments(parser)` and `run(args) -> int`. Only the one asked
for is imported, so that `classroom link` does not wait for media libraries. Misuse is told in one
sentence with exit code 2; anything else that goes wrong is a bug and shows its trace.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, cast

from classroom.errors import Absent, Misuse, Refused


class Command(NamedTuple):
    """Where a subcommand lives and what it is for."""

    module: str
    help: str


class CommandModule(Protocol):
    """What a subcommand's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


COMMANDS: Final = {
    "serve": Command("classroom.web.serve", "run the control plane"),
    "link": Command("classroom.web.link", "make a link for a teacher, room, viewer or relay"),
    "relay-code": Command("classroom.web.relay_code", "make a code for a school's relay"),
    "relay-list": Command("classroom.web.relay_list", "list the relays of schools"),
    "relay-revoke": Command("classroom.web.relay_revoke", "end the enrolment of a school's relay"),
    "host": Command("classroom.host.cli", "publish a lesson without a browser"),
    "demo": Command("classroom.demo", "run everything on this machine with a lesson to watch"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="classroom", description="Live lessons over weak links.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    module: CommandModule | None = None
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.help, description=command.help)
        if given[:1] == [name]:
            module = cast(CommandModule, importlib.import_module(command.module))
            module.add_arguments(subparser)
    args = parser.parse_args(given)
    # argparse leaves only after the first word was a command.
    assert module is not None
    try:
        return module.run(args)
    except Misuse as error:
        print(f"classroom: {error}", file=sys.stderr)
        return 2
    except (Refused, Absent) as error:
        print(f"classroom: {error} {error.fix}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
