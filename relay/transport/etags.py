"""A session's entity tag (RFC 9110 §8.8.3): what a PATCH means to change, as RFC 9725 §4.3 uses it.

Here: the tag, whether a request names it, and the refusal of one that names another. Pure.
"""

from __future__ import annotations

from classroom.errors import Refused


def etag_of(session: str, version: int) -> str:
    """The tag of a session that was changed to `version`."""
    return f'"{session[:8]}-{version}"'


def matches(wanted: str, etag: str) -> bool:
    """If-Match (RFC 9110 §13.1.1): "*", or a list of entity tags of which ours is one."""
    return wanted.strip() == "*" or etag in (one.strip() for one in wanted.split(","))


def stale() -> Refused:
    """What is answered to a request that names another."""
    return Refused(
        412,
        "stale-etag",
        "The session has changed since that ETag.",
        fix="Use the ETag of the last answer, or begin a new session.",
        field="If-Match",
    )
