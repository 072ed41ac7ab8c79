"""A database that lets nobody in counts as one that does not answer; our own errors do not.

A server that speaks as much of PostgreSQL's protocol as it takes to refuse stands for the real one.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from classroom.errors import Absent
from classroom.store import Records
from classroom.store.answering import answering

REFUSALS = [
    ("28P01", 'password authentication failed for user "u"'),
    ("3D000", 'database "lessons" does not exist'),
    ("53300", "sorry, too many clients already"),
    ("57P03", "the database system is starting up"),
]


class _Said(Exception):
    """What a driver raises: the database's words and its SQLSTATE."""

    def __init__(self, sqlstate: str, words: str) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(("sqlstate", "words"), REFUSALS)
def test_a_refusal_is_absence(sqlstate: str, words: str) -> None:
    with pytest.raises(Absent) as told, answering():
        raise DBAPIError("select 1", None, _Said(sqlstate, words))
    assert words not in told.value.what, "nothing for teachers"
    with pytest.raises(Absent) as told, answering(at_start=True):
        raise DBAPIError("select 1", None, _Said(sqlstate, words))
    assert words in told.value.what


@pytest.mark.parametrize(
    ("kind", "sqlstate"),
    [(DBAPIError, "22003"), (IntegrityError, "23505"), (ProgrammingError, "42601")],
)
def test_a_bug_of_ours_is_none(kind: type[DBAPIError], sqlstate: str) -> None:
    with pytest.raises(kind), answering():
        raise kind("select 1", None, _Said(sqlstate, "no"))


@pytest.mark.parametrize(("sqlstate", "words"), REFUSALS)
async def test_a_start_tells_what_the_database_said(
    sqlstate: str, words: str, tmp_path: Path
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _message(reader)  # may we speak TLS?
        writer.write(b"N")
        await _message(reader)
        fields = f"SFATAL\0VFATAL\0C{sqlstate}\0M{words}\0\0".encode()
        writer.write(b"E" + struct.pack("!I", 4 + len(fields)) + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        records = Records(f"postgresql://u:p@127.0.0.1:{port}/lessons", tmp_path)
        with pytest.raises(Absent) as told:
            await records.prepare()
        await records.close()
    assert words in told.value.what


async def _message(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    return await reader.readexactly(length - 4)
