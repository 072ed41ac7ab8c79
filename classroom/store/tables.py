"""The tables of the records and how rows become lessons; SQL that SQLite and PostgreSQL share.

Dates are unix seconds as doubles. `SCHEMA` counts the shape of these tables and of
`searched`; raise it with a step in `migrations` when a column changes. Queries live in `records`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
)

from classroom.lessons import Archive, Lesson
from classroom.wire import LessonState

SCHEMA: Final = 3
metadata = MetaData()

schema = Table("schema", metadata, Column("version", Integer, primary_key=True))

lessons = Table(
    "lessons",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("title", String(200), nullable=False),
    Column("subject", String(60)),
    Column("grade", String(60)),
    Column("school", String(60)),
    Column("teacher", String(100), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("planned_at", Double),
    Column("state", String(16), nullable=False, index=True),
    Column("started_at", Double),
    Column("started_by", String(100)),
    Column("ended_at", Double),
    Column("published_at", Double),
    Column("relay", String(60)),
    Column("relay_url", String(500)),
    Column("archive_duration", Double),
    Column("archive_bytes", BigInteger),
    Column("archive_renditions", JSON),
    Column("materials", String(64)),
)

# Files that go along with a lesson, in the order of `place`; `lessons.materials` is the digest of
# the list. What lies on the disk stands by its digest in `classroom.store.blobs`.
materials = Table(
    "materials",
    metadata,
    Column("lesson", String(40), primary_key=True),
    Column("digest", String(64), primary_key=True, index=True),
    Column("place", Integer, nullable=False),
    Column("name", String(120), nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

# Lists that changed after their lesson began. changed_at: rises with each change of any of them.
late_lists = Table(
    "late_lists",
    metadata,
    Column("lesson", String(40), primary_key=True),
    Column("changed_at", Double, nullable=False, index=True),
)

# What happened to a lesson, when, by whom (a token's subject, or "relay NAME") and why.
transitions = Table(
    "transitions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("lesson", String(40), nullable=False, index=True),
    Column("before", String(16)),
    Column("after", String(16), nullable=False),
    Column("at", Double, nullable=False),
    Column("by", String(100), nullable=False),
    Column("reason", String(60), nullable=False),
)

# Links handed out. The token itself is never kept, only what it says.
links = Table(
    "links",
    metadata,
    Column("token_id", String(100), primary_key=True),
    Column("subject", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("role", String(16), nullable=False),
    Column("lesson", String(40), nullable=False, index=True),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("issued_by", String(100), nullable=False),
)

# Codes for schools' relays, each as its digest; relay and key (a digest) once it was used.
relay_codes = Table(
    "relay_codes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(60), nullable=False),
    Column("made_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("relay", String(100)),
    Column("key", String(64)),
)

# Relays that enrolled with a code. The token itself is never kept.
school_relays = Table(
    "school_relays",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("name", String(60), nullable=False, index=True),
    Column("url", String(500), nullable=False),
    Column("enrolled_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double, index=True),
)


def lesson_row(lesson: Lesson) -> dict[str, Any]:
    """The columns of `lesson`."""
    row = {field.name: getattr(lesson, field.name) for field in fields(Lesson)}
    archive = row.pop("archive")
    row["state"] = lesson.state.value
    row["archive_duration"] = archive.duration if archive else None
    row["archive_bytes"] = archive.bytes if archive else None
    row["archive_renditions"] = list(archive.renditions) if archive else None
    return row


def lesson_of(row: RowMapping) -> Lesson:
    """The lesson in `row`."""
    values = dict(row)
    duration, size, renditions = (
        values.pop(f"archive_{name}") for name in ("duration", "bytes", "renditions")
    )
    values["state"] = LessonState(values["state"])
    values["archive"] = Archive(duration, size, tuple(renditions)) if duration is not None else None
    return Lesson(**values)
