"""What a database that does not answer means to callers: `Absent`, with words for a teacher.

Lives here because every part of the records needs it. Must not live here: queries. Other database
errors are bugs of ours and are not hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from classroom.errors import Absent


@contextmanager
def answering() -> Iterator[None]:
    """Turn "it does not answer" and "its disk is full" into Absent."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
        raise Absent(
            f"The records cannot be read or written now ({type(error).__name__}).",
            fix="Try again in a moment; if it stays so, ask your technician whether the disk of "
            "the server is full and whether its database runs.",
        ) from error
