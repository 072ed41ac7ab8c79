"""`classroom relay-revoke`: ends the enrolment of one school's relay.

A subcommand is a module, and this is only its name: what it does stands in `relay_list`, beside the
list that one looks at before. No code of its own belongs here.
"""

from __future__ import annotations

from classroom.web.relay_list import add_revoke_arguments as add_arguments
from classroom.web.relay_list import revoke as run

__all__ = ["add_arguments", "run"]
