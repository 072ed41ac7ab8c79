"""Relays of schools in SQL: codes that are out, relays that enrolled, which of them count no more.

A code is kept as its digest alone. Spending it and adding the relay is one transaction, so that a
code is good once whatever happens in between. Dates are unix seconds. Tokens are made elsewhere.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from classroom.errors import Refused
from classroom.store import tables
from classroom.store.answering import answering
from classroom.tokens import address_proof

_ASK: Final = "Ask the central school for a new code (classroom relay-code)."


@dataclass(frozen=True, slots=True)
class SchoolRelay:
    """An enrolled relay.

    id: the subject of its token. url: where it was last reached by browsers, "" while unknown.
    expires_at: of its newest token. revoked_at: since when it counts no more, None while it does.
    """

    id: str
    name: str
    url: str
    enrolled_at: float
    expires_at: float
    revoked_at: float | None = None


class SchoolRelays:
    """Part of `Records`, which makes the tables. `writing` begins transactions that will write."""

    def __init__(self, engine: AsyncEngine, writing: AsyncEngine) -> None:
        self._engine = engine
        self._writing = writing

    async def add_code(self, digest: str, name: str, *, now: float, expires_at: float) -> None:
        """Keep a code for the school `name`; codes that are long over are forgotten."""
        codes = tables.relay_codes
        row = {"digest": digest, "name": name, "made_at": now, "expires_at": expires_at}
        with answering():
            async with self._writing.begin() as connection:
                # While it is known, a late one is told that it is too late, not that it is wrong.
                over = codes.c.expires_at < now - (expires_at - now)
                await connection.execute(delete(codes).where(over, codes.c.relay.is_(None)))
                await connection.execute(insert(codes), row)

    async def enrol(
        self, digest: str, key: str, *, new_id: str, now: float, expires_at: float
    ) -> SchoolRelay:
        """The relay that the code with this digest makes; the same one for the same `key`, so that
        an answer lost on its way may be asked for again while the code is good.

        Refused 403 code-unknown, code-expired, code-used; 403 relay-revoked.
        """
        codes, relays = tables.relay_codes, tables.school_relays
        with answering():
            async with self._writing.begin() as connection:
                query = select(codes).where(codes.c.digest == digest).with_for_update()
                code = (await connection.execute(query)).mappings().first()
                if code is None:
                    raise _refused("code-unknown", "This code is not known.")
                if code["expires_at"] <= now:
                    raise _refused("code-expired", "This code is too old.")
                if code["relay"] is not None:
                    if code["key"] != key:
                        raise _refused("code-used", "This code has been used already.")
                    found = select(relays).where(relays.c.id == code["relay"])
                    relay = _relay((await connection.execute(found)).mappings().one())
                    if relay.revoked_at is not None:
                        raise revoked()
                    return relay
                relay = SchoolRelay(new_id, code["name"], "", now, expires_at)
                await connection.execute(insert(relays), _row(relay))
                spent = update(codes).where(codes.c.digest == digest)
                await connection.execute(spent.values(relay=new_id, key=key))
        return relay

    async def find(self, relay_id: str) -> SchoolRelay | None:
        """The enrolled relay with this id, revoked or not; None if there is none."""
        query = select(tables.school_relays).where(tables.school_relays.c.id == relay_id)
        with answering():
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).mappings().first()
        return _relay(row) if row is not None else None

    async def named(self, text: str) -> list[SchoolRelay]:
        """Those whose name or id this is, the newest first."""
        relays = tables.school_relays
        query = (
            select(relays)
            .where(or_(relays.c.name == text, relays.c.id == text))
            .order_by(relays.c.enrolled_at.desc(), relays.c.id)
        )
        with answering():
            async with self._engine.connect() as connection:
                return [_relay(row) for row in (await connection.execute(query)).mappings()]

    async def url_of(self, school: str) -> str:
        """Where browsers of this school (its name, or its relay's id) reach its relay.

        Refused 404 school-unknown, 409 school-not-here.
        """
        found = [one for one in await self.named(school) if one.revoked_at is None]
        if not found:
            raise Refused(
                404,
                "school-unknown",
                f"There is no school {school!r} with a relay of its own.",
                fix="Leave the school out, or write its name as it was enrolled.",
                field="school",
            )
        for relay in found:
            if relay.url:
                return relay.url
        raise Refused(
            409,
            "school-not-here",
            f"The relay of {school!r} has not called yet, so its address is not known.",
            fix="Start it once with its network plugged in, and try again after a minute.",
            field="school",
        )

    async def all(self) -> list[SchoolRelay]:
        """Every relay that ever enrolled, by name."""
        relays = tables.school_relays
        query = select(relays).order_by(relays.c.name, relays.c.enrolled_at)
        with answering():
            async with self._engine.connect() as connection:
                return [_relay(row) for row in (await connection.execute(query)).mappings()]

    async def renewed(self, relay_id: str, *, expires_at: float) -> None:
        """Note that the relay was given a newer token."""
        await self._set(relay_id, expires_at=expires_at)

    async def moved(self, relay_id: str, url: str, proof: str) -> bool:
        """Note where browsers reach the relay; False, and nothing is noted, unless `proof` shows
        that it says so itself: the way here leads over other schools' relays."""
        codes = tables.relay_codes
        query = select(codes.c.key).where(codes.c.relay == relay_id)
        with answering():
            async with self._engine.connect() as connection:
                keys = list((await connection.execute(query)).scalars())
        if not any(hmac.compare_digest(address_proof(key, relay_id, url), proof) for key in keys):
            return False
        await self._set(relay_id, url=url)
        return True

    async def revoke(self, relay_id: str, *, now: float) -> None:
        """From now on the relay counts no more; one that does not stays as it is."""
        relays = tables.school_relays
        change = update(relays).where(relays.c.id == relay_id, relays.c.revoked_at.is_(None))
        with answering():
            async with self._writing.begin() as connection:
                await connection.execute(change.values(revoked_at=now))

    async def revoked(self, now: float, most: int) -> list[str]:
        """Ids of relays that count no more though their tokens would, the latest `most` of them,
        latest first."""
        relays = tables.school_relays
        query = (
            select(relays.c.id)
            .where(relays.c.revoked_at.is_not(None), relays.c.expires_at > now)
            .order_by(relays.c.revoked_at.desc(), relays.c.id)
            .limit(most)
        )
        with answering():
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).scalars())

    async def _set(self, relay_id: str, **values: float | str) -> None:
        relays = tables.school_relays
        with answering():
            async with self._writing.begin() as connection:
                await connection.execute(
                    update(relays).where(relays.c.id == relay_id).values(**values)
                )


def revoked() -> Refused:
    """What a relay is told that was enrolled once and counts no more."""
    return Refused(
        403,
        "relay-revoked",
        "The central school took this relay's enrolment back.",
        fix="Ask the central school whether that is right; with a new code it enrols again.",
        field="Authorization",
    )


def _refused(code: str, detail: str) -> Refused:
    return Refused(403, code, detail, fix=_ASK, field="code")


def _row(relay: SchoolRelay) -> dict[str, Any]:
    return {name: getattr(relay, name) for name in _COLUMNS}


def _relay(row: Any) -> SchoolRelay:
    return SchoolRelay(**{name: row[name] for name in _COLUMNS})


_COLUMNS: Final = ("id", "name", "url", "enrolled_at", "expires_at", "revoked_at")
