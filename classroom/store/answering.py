"""What a database that does not answer means to callers: `Absent`, with words for a teacher.

Lives here because every part of the records needs it. Must not live here: queries. Other database
errors are bugs of ours and are not hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from classroom.errors import Absent

# By PostgreSQL's classes of SQLSTATE (its manual, appendix A): the connection, who may log in, a
# database that is not there, too many connections or no space, starting up and shutting down.
_AWAY: Final = ("08", "28", "3D", "53", "57")


@contextmanager
def answering(*, at_start: bool = False) -> Iterator[None]:
    """Turn "it does not answer", "it lets nobody in" and "its disk is full" into Absent.

    at_start: an operator reads the words, so what the database said stands in them.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError, OSError) as error:
        if isinstance(error, DBAPIError) and not _is_away(error):
            raise
        said = error.orig if isinstance(error, DBAPIError) else error
        reason = f"{said}".strip() if at_start else ""
        raise Absent(
            f"The records cannot be read or written now ({reason or type(error).__name__}).",
            fix="Try again in a moment; if it stays so, ask your technician whether the disk of "
            "the server is full and whether its database runs.",
        ) from error


def _is_away(error: DBAPIError) -> bool:
    if isinstance(error, OperationalError | InterfaceError):
        return True
    # asyncpg gives refusals no class of their own.
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(state, str) and state[:2] in _AWAY
