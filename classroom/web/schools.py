"""`/api/relays/enrol` and `/renew`: a school's relay gets a token for a code, later new ones.

Lives here: who may ask how often, and the claims of such a token. Codes and relays are kept by
`classroom.store.school_relays`; codes are made on the command line (`relay_code`). A relay with a
parent asks that one, which passes the request on, so tries are counted by whoever asks us.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Annotated, Final

from aiohttp import web

from classroom.errors import Refused
from classroom.store import SchoolRelay
from classroom.store.school_relays import revoked
from classroom.tokens import (
    ANY_LESSON,
    DEFAULT_RIGHTS,
    Claims,
    Right,
    Role,
    Tries,
    code_digest,
    key_digest,
    read_code,
    require,
    source_of,
)
from classroom.web.bodies import bearer, claims_of, json_body
from classroom.web.context import Context, context_of
from classroom.web.logs import event
from classroom.wire.fields import Text
from classroom.wire.messages import Label

_DAY_S: Final = 86_400.0
_WITHIN_S: Final = 600.0
# One address has a school or, behind a proxy, all who come through it; a relay speaks for a region.
_TRIES: Final = 10
_RELAY_TRIES: Final = 100
# Each guess costs 16 MiB for 50 ms; more than these at once wait.
_AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class NewRelay:
    """POST /api/relays/enrol. key: random, the relay's own, so that it may ask again when the
    answer was lost; name: what the machine calls itself, for the log."""

    code: Annotated[str, Text(40, 1)]
    name: Label = ""
    key: Annotated[str, Text(100)] = ""


class Gate:
    """Bounds the guessing of codes. One per application."""

    def __init__(self) -> None:
        self.strangers = Tries(_TRIES, _WITHIN_S)
        self.relays = Tries(_RELAY_TRIES, _WITHIN_S)
        self.digesting = asyncio.Semaphore(_AT_ONCE)


GATE: Final = web.AppKey("gate", Gate)


def routes() -> list[web.RouteDef]:
    """What relays of schools ask for."""
    return [web.post("/api/relays/enrol", enrol), web.post("/api/relays/renew", renew)]


async def enrol(request: web.Request) -> web.Response:
    """POST /api/relays/enrol: a token for a code."""
    context, gate = context_of(request), request.app[GATE]
    body = await json_body(request, NewRelay)
    tries, source = _source(request, context, gate)
    tries.begin(source, context.monotonic())
    code = read_code(body.code)
    async with gate.digesting:
        digest = await asyncio.to_thread(code_digest, code)
    now = context.wall()
    relay = await context.records.relays.enrol(
        digest,
        key_digest(body.key or secrets.token_urlsafe()),
        new_id=f"school-{secrets.token_urlsafe(12)}",
        now=now,
        expires_at=_expiry(context, now),
    )
    tries.forgive(source)
    event("school-relay-enrolled", relay=relay.id, name=relay.name, machine=body.name)
    return await _answer(context, relay, now)


async def renew(request: web.Request) -> web.Response:
    """POST /api/relays/renew: a new token for one that is still good."""
    context = context_of(request)
    claims = claims_of(request, context.verifier, context.wall())
    require(claims, Right.RELAY, None)
    relay = await context.records.relays.find(claims.subject)
    if relay is None:
        raise Refused(
            403,
            "relay-not-enrolled",
            "This relay did not enrol with a code, so its token is not renewed.",
            fix="Make it a new token with: classroom link relay",
            field="Authorization",
        )
    if relay.revoked_at is not None:
        raise revoked()
    return await _answer(context, relay, context.wall())


async def _answer(context: Context, relay: SchoolRelay, now: float) -> web.Response:
    claims = Claims(
        subject=relay.id,
        name=relay.name,
        role=Role.RELAY,
        lesson=ANY_LESSON,
        rights=DEFAULT_RIGHTS[Role.RELAY],
        issued_at=int(now),
        expires_at=int(_expiry(context, now)),
        token_id=secrets.token_urlsafe(12),
    )
    await context.records.relays.renewed(relay.id, expires_at=claims.expires_at)
    return web.json_response(
        {
            "token": context.signer.sign(claims),
            "id": relay.id,
            "name": relay.name,
            "expires_at": claims.expires_at,
        },
        headers={"Cache-Control": "no-store"},
    )


def _expiry(context: Context, now: float) -> float:
    return now + context.settings.links.school_days * _DAY_S


def _source(request: web.Request, context: Context, gate: Gate) -> tuple[Tries, str]:
    """Who asks: a relay that passes a school's request on, or somebody at an address."""
    if bearer(request):
        claims = claims_of(request, context.verifier, context.wall())
        require(claims, Right.RELAY, None)
        return gate.relays, claims.subject
    return gate.strangers, source_of(request.remote)
