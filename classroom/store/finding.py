"""Finding lessons by words in the records: a table of what a search looks at, and its statements.

Each lesson has a row in `searched`, written in the transaction that writes the lesson, so that a
search in a library of thousands reads a few hundred bytes a lesson and only the page that is shown
becomes lessons. What words match and in what order is said by `classroom.library`; the SQL is what
SQLite and PostgreSQL share. Not here: connections and transactions (`records`).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Index,
    Select,
    String,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
)

from classroom.lessons import Lesson
from classroom.library import Listing, folded, indexed, stems
from classroom.store import tables

# Folding makes some characters several (㎞, ﬃ); longer texts than these are cut, not refused.
_TITLE: Final = 1_000
_REST: Final = 1_500
_LABEL: Final = 300
_AT_ONCE: Final = 500

searched = Table(
    "searched",
    tables.metadata,
    Column("lesson", String(40), primary_key=True),
    Column("title", String(_TITLE), nullable=False),
    Column("rest", String(_REST), nullable=False),
    Column("subject", String(_LABEL), nullable=False),
    Column("grade", String(_LABEL), nullable=False),
    Column("school", String(_LABEL), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", Double, nullable=False),
)
Index("searched_by_date", searched.c.at.desc(), searched.c.lesson)


def row(lesson: Lesson) -> dict[str, Any]:
    """The columns of `searched` for `lesson`."""
    kept = indexed(lesson)
    return {
        "lesson": lesson.id,
        "title": kept.title[:_TITLE],
        "rest": kept.rest[:_REST],
        "subject": kept.subject[:_LABEL],
        "grade": kept.grade[:_LABEL],
        "school": kept.school[:_LABEL],
        "state": lesson.state.value,
        "at": kept.at,
    }


def fill(connection: Connection) -> None:
    """Write the rows of lessons that have none, as an earlier version left them, and forget those
    of lessons that are gone."""
    missing = (
        select(tables.lessons)
        .outerjoin(searched, searched.c.lesson == tables.lessons.c.id)
        .where(searched.c.lesson.is_(None))
        .limit(_AT_ONCE)
    )
    while rows := connection.execute(missing).mappings().all():
        connection.execute(insert(searched), [row(tables.lesson_of(one)) for one in rows])
    connection.execute(
        delete(searched).where(searched.c.lesson.not_in(select(tables.lessons.c.id)))
    )


def page(asked: Listing, lesson: str | None) -> Select[Any]:
    """The lessons of the part that is asked for, in order. lesson: the only one, None for all."""
    in_title = and_(true(), *(searched.c.title.contains(stem) for stem in stems(asked.query.words)))
    place = case((in_title, 0), else_=1)
    order = (searched.c.at.desc(), searched.c.lesson)
    found = (
        select(searched.c.lesson, searched.c.at, place.label("place"))
        .where(_matches(asked, lesson))
        .order_by(*((place, *order) if asked.query.words else order))
        .limit(asked.limit)
        .offset(asked.offset)
        .subquery()
    )
    return (
        select(tables.lessons)
        .join(found, found.c.lesson == tables.lessons.c.id)
        .order_by(found.c.place, found.c.at.desc(), tables.lessons.c.id)
    )


def count(asked: Listing, lesson: str | None) -> Select[Any]:
    """How many lessons match in all."""
    return select(func.count()).select_from(searched).where(_matches(asked, lesson))


def _matches(asked: Listing, lesson: str | None) -> ColumnElement[bool]:
    query = asked.query
    conditions: list[ColumnElement[bool]] = [
        or_(searched.c.title.contains(stem), searched.c.rest.contains(stem))
        for stem in stems(query.words)
    ]
    for column, label in (
        (searched.c.subject, query.subject),
        (searched.c.grade, query.grade),
        (searched.c.school, query.school),
    ):
        if label is not None:
            conditions.append(column == folded(label)[:_LABEL])
    if query.states is not None:
        conditions.append(searched.c.state.in_(sorted(query.states)))
    if lesson is not None:
        conditions.append(searched.c.lesson == lesson)
    return and_(true(), *conditions)
