"""Who may do what here: tokens checked offline with the control plane's public keys.

The keys are fetched when the service starts, again when a token names a key that is not known,
and kept on disk, so that a relay whose control plane is away still lets its rooms in.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from classroom.clock import monotonic, wall
from classroom.errors import Absent, Refused
from classroom.tokens import Claims, Right, Verifier, require

_log: Final = logging.getLogger("relay.service")

# A stranger's made-up key name must not make us ask the control plane all the time.
_REFETCH_SECONDS: Final = 10.0


class Access:
    """Checks requests. Call `start` first; it never fails, it only may know no keys yet."""

    def __init__(self, central: str, keys_file: Path) -> None:
        """central: base URL of the control plane. keys_file: where its keys are kept."""
        self._url = central.rstrip("/") + "/api/keys"
        self._file = keys_file
        self._verifier: Verifier | None = None
        self._fetched_at = -_REFETCH_SECONDS
        self._lock = asyncio.Lock()
        self._fresh = False

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Read the kept keys; without any, ask for them before anybody is let in."""
        try:
            kept = json.loads(self._file.read_text())
            if not isinstance(kept, dict):
                raise ValueError("no key set")
            self._verifier = Verifier(kept)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, Refused) as error:
            _log.warning("kept-keys-unusable", extra={"reason": str(error)})
        if self._verifier is None:
            await self.refresh(http)

    async def refresh(self, http: aiohttp.ClientSession) -> bool:
        """Ask the control plane for its keys; whether they came. At most every 10 s."""
        async with self._lock:
            if monotonic() - self._fetched_at < _REFETCH_SECONDS:
                return False
            self._fetched_at = monotonic()
            try:
                async with http.get(self._url) as answer:
                    answer.raise_for_status()
                    document = await answer.json()
                if not isinstance(document, dict):
                    raise ValueError("the answer is no key set")
                self._verifier = Verifier(document)
            except (aiohttp.ClientError, TimeoutError, ValueError, Refused) as error:
                # Not here yet: ask again soon, since without keys nobody can enter.
                if self._verifier is None:
                    self._fetched_at = -_REFETCH_SECONDS
                _log.info("keys-not-fetched", extra={"reason": str(error) or type(error).__name__})
                return False
            self._fresh = True
            self._keep(json.dumps(document))
            return True

    def _keep(self, text: str) -> None:
        temporary = self._file.with_suffix(".tmp")
        try:
            temporary.write_text(text)
            os.replace(temporary, self._file)
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
        try:
            claims = self._verify(token)
        except Refused as error:
            http = request.app[HTTP]
            if error.code != "token-unknown-key" or not await self.refresh(http):
                raise
            claims = self._verify(token)
        require(claims, right, lesson)
        return claims

    def _verify(self, token: str) -> Claims:
        if self._verifier is None:
            raise Absent(
                "This relay has not reached the central school yet.",
                fix="Check the address of the control plane in the relay's settings, and wait.",
            )
        return self._verifier.verify(token, wall())

    async def keep_trying(self, http: aiohttp.ClientSession) -> None:
        """Ask until the control plane has answered once; run in a task. Kept keys serve meanwhile,
        so that a relay behind a dead link starts at once."""
        while not self._fresh:
            await self.refresh(http)
            await asyncio.sleep(1.0)


def bearer(request: web.Request, *, query: bool) -> str:
    """The request's token, "" when it has none (RFC 6750 §2.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.query.get("token", "") if query else ""


HTTP: Final = web.AppKey("http", aiohttp.ClientSession)
