"""Who may do what here: tokens checked offline with the control plane's public keys.

The keys are fetched when the service starts, again when a token names a key that is not known,
and kept on disk, so that a relay whose control plane is away still lets its rooms in. A relay with
a parent has them from there. Not here: the list of revoked relays (`revoked`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from classroom.bodies import read_body
from classroom.clock import Clock, monotonic, wall
from classroom.errors import Absent, Refused
from classroom.tokens import Claims, Right, Verifier, require
from relay.cache.files import write_atomic
from relay.web.revoked import Revoked

_log: Final = logging.getLogger("relay.service")

# A stranger's made-up key name must not make us ask the control plane all the time.
_REFETCH_SECONDS: Final = 10.0
# A key that was changed reaches each level of the tree within so long.
_RENEW_SECONDS: Final = 6 * 3600.0
_MOST_BYTES: Final = 64 * 1024
# RecursionError: an answer of nested brackets.
_RUBBISH: Final = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    ValueError,
    RecursionError,
    Refused,
)


Visitors = Callable[[web.Request, str | None], Claims | None]
"""Of a request without a token and the lesson that it asks for: what it may all the same."""


class Access:
    """Checks requests. Call `start` first; it never fails, it only may know no keys yet."""

    def __init__(
        self,
        above: str | Callable[[], str],
        keys_file: Path,
        *,
        revoked: Revoked | None = None,
        date: Clock = wall,
    ) -> None:
        """above: base URL of the control plane, or of the parent by now, which gives its keys on.
        keys_file: where they are kept. revoked: relays that count no more. date: unix seconds."""
        self._above = above
        self._revoked = revoked
        self.date = date
        self.keys: dict[str, Any] | None = None
        """The key set as it came, None while there is none."""
        self._file = keys_file
        self._verifier: Verifier | None = None
        self._fetched_at = -_REFETCH_SECONDS
        self._lock = asyncio.Lock()
        self._fresh = False
        self.visitors: Visitors | None = None
        """What people without a link may replay; None: nothing."""

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Read the kept keys; without any, ask for them before anybody is let in."""
        try:
            kept = json.loads(self._file.read_text())
            if not isinstance(kept, dict):
                raise ValueError("no key set")
            self._verifier = Verifier(kept)
            self.keys = kept
        except FileNotFoundError:
            pass
        except (OSError, ValueError, Refused) as error:
            _log.warning("kept-keys-unusable", extra={"reason": str(error)})
        if self._verifier is None:
            await self.refresh(http)

    async def refresh(self, http: aiohttp.ClientSession) -> bool:
        """Ask those above for the keys; whether they came. At most every 10 s."""
        async with self._lock:
            if monotonic() - self._fetched_at < _REFETCH_SECONDS:
                return False
            self._fetched_at = monotonic()
            try:
                above = self._above if isinstance(self._above, str) else self._above()
                async with http.get(above.rstrip("/") + "/api/keys") as answer:
                    answer.raise_for_status()
                    document = json.loads(await read_body(answer.content, _MOST_BYTES))
                if not isinstance(document, dict):
                    raise ValueError("the answer is no key set")
                self._verifier = Verifier(document)
                self.keys = document
            except _RUBBISH as error:
                # Not here yet: ask again soon, since without keys nobody can enter.
                if self._verifier is None:
                    self._fetched_at = -_REFETCH_SECONDS
                _log.info("keys-not-fetched", extra={"reason": str(error) or type(error).__name__})
                return False
            self._fresh = True
            self._keep(json.dumps(document))
            return True

    def _keep(self, text: str) -> None:
        try:
            write_atomic(self._file, text.encode())
        except OSError as error:
            _log.warning("keys-not-kept", extra={"reason": str(error)})

    async def check(
        self, request: web.Request, right: Right, lesson: str | None, *, query: bool = False
    ) -> Claims:
        """The claims of the request's token if it grants `right` on `lesson`.

        query: whether `?token=` counts too (WebSocket, HLS, downloads). Raises Refused 401, 403,
        Absent when no keys are known yet.
        """
        token = bearer(request, query=query)
        if not token and right is Right.REPLAY and self.visitors is not None:
            visitor = self.visitors(request, lesson)
            if visitor is not None:
                return visitor
        try:
            claims = self._verify(token)
        except Refused as error:
            if error.code != "token-unknown-key":
                raise
            # They may have come for another request meanwhile, so the answer does not matter.
            await self.refresh(request.app[HTTP])
            claims = self._verify(token)
        require(claims, right, lesson)
        if self._revoked is not None:
            self._revoked.check(claims)
        return claims

    def _verify(self, token: str) -> Claims:
        if self._verifier is None:
            raise Absent(
                "This relay has not reached the central school yet.",
                fix="Check the address of the control plane or parent in its settings, and wait.",
            )
        return self._verifier.verify(token, self.date())

    async def keep_trying(self, http: aiohttp.ClientSession) -> None:
        """Ask until the keys came, and now and then again; run in a task. Kept keys serve
        meanwhile, so that a relay behind a dead link starts at once."""
        while True:
            while not self._fresh:
                await self.refresh(http)
                await asyncio.sleep(1.0)
            await asyncio.sleep(_RENEW_SECONDS)
            self._fresh = False


def bearer(request: web.Request, *, query: bool) -> str:
    """The request's token, "" when it has none (RFC 6750 §2.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.query.get("token", "") if query else ""


HTTP: Final = web.AppKey("http", aiohttp.ClientSession)
