"""Who this relay is: its token, got once for a code, kept through power cuts, renewed in time.

Lives here: the kept token and the school's name, asking parents for the first token and for newer
ones. Must not live here: checking others' tokens (`access`), passing on what relays below ask
(`school_api`). A root relay has its token from its settings and asks nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import random
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp

from classroom.bodies import read_body
from classroom.clock import Clock, wall
from classroom.errors import Absent, Refused
from classroom.signalling import retry_delay
from classroom.tokens import address_proof, key_digest, unchecked_claims
from relay.cache.files import sync_directory, write_all, write_atomic
from relay.settings import RelaySettings

_log: Final = logging.getLogger("relay.service")

# An answer holds a token of less than a kilobyte and two names.
_MOST_BYTES: Final = 16 * 1024
_LOOK_SECONDS: Final = 3600.0
_BEARER: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_KEPT: Final = ("name", "key", "spent", "refused")
# What a wrong code is told does not change by asking again; a new code comes with a restart.
_FINAL: Final = ("code-unknown", "code-expired", "code-used", "code-malformed", "relay-revoked")


@dataclass(frozen=True, slots=True)
class _Kept:
    """name: the school's. key: this machine's, random. spent: digest of the code that gave the
    token; refused: of one that was refused for good."""

    name: str = ""
    key: str = ""
    spent: str = ""
    refused: str = ""


class Enrolment:
    """Run `run` in a task for the life of the service; the rest answers at any time."""

    def __init__(self, settings: RelaySettings, data: Path, date: Clock = wall) -> None:
        """data: the relay's directory. date: unix seconds."""
        self._settings = settings
        self._token_file = data / "relay-token"
        self._kept_file = data / "enrolment.json"
        self._date = date
        self._enrolled = self._read_token()
        self._kept = self._read_kept()
        self._shown = self._id = ""
        self._misread = False
        self._observers: set[Callable[[], None]] = set()
        self.problem: Refused | Absent | None = None
        """Why there is no token, or no new one; None while all is well."""

    @property
    def token(self) -> str:
        """What this relay shows its parent, or the control plane; "" while it has none."""
        token = self._enrolled or self._given()
        if token != self._shown:
            claims = unchecked_claims(token)
            self._shown, self._id = token, claims.subject if claims is not None else ""
        return token

    def _given(self) -> str:
        """The token of the settings; its file is read anew, so that one can be put there."""
        if self._settings.token_file is not None:
            try:
                data = Path(self._settings.token_file).read_bytes()
            except OSError as error:
                if not self._settings.parents:
                    _log.warning("token-file-unreadable", extra={"reason": str(error)})
            else:
                token = _bearer(data)
                self._tell_file(is_misread=bool(data.strip()) and not token)
                if token:
                    return token
        return _bearer((self._settings.token or "").encode())

    def _tell_file(self, *, is_misread: bool) -> None:
        """Say once that what is in the token's file is none: it is read at each request."""
        if is_misread and not self._misread:
            reason = f"the token file {self._settings.token_file} holds no token"
            fix = "Write the token into it, in one line, as the central school printed it."
            _log.error("token-file-without-token", extra={"reason": reason, "fix": fix})
        self._misread = is_misread

    @property
    def id(self) -> str:
        """The subject of the token, "" while there is none; of one in a file, as last shown."""
        return self._id if self._id and not self._enrolled else (self.token and self._id)

    @property
    def name(self) -> str:
        """What this relay is called: as the central school enrolled it, else as it is set up."""
        return self._kept.name if self._enrolled and self._kept.name else self._settings.name

    def prove(self, url: str) -> str:
        """That `url` is this relay's own word; "" if it has none that the central school knows."""
        if not self._enrolled or not self._kept.key:
            return ""
        return address_proof(key_digest(self._kept.key), self.id, url)

    @property
    def is_enrolled(self) -> bool:
        """Whether the token came for a code."""
        return bool(self._enrolled)

    def observe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` when the token changed; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Enrol if a code is there that was not used yet; renew for ever."""
        if not self._settings.parents:
            return
        code = self._settings.code
        # While the code is young it gives a token that was lost with its file once more.
        known = (self._kept.spent if self._enrolled else "", self._kept.refused)
        if code is not None and _digest(code) not in known:
            await self._enrol(http, code)
        elif not self.token:
            self.problem = Absent(
                "This relay is not enrolled yet.",
                fix="Ask the central school for a code and start the relay once with --code CODE.",
            )
            _log.error("relay-not-enrolled", extra={"reason": self.problem.fix})
        while True:
            if self._enrolled and self._is_old():
                await self._renew(http)
            await asyncio.sleep(_LOOK_SECONDS * random.uniform(0.8, 1.2))

    async def _enrol(self, http: aiohttp.ClientSession, code: str) -> None:
        if not self._kept.key:
            # On disk before it is sent: the same machine may ask again after a power cut.
            self._keep(replace(self._kept, key=secrets.token_urlsafe(24)))
        body = {"code": code, "name": self._settings.name[:60], "key": self._kept.key}
        attempt = 0
        while True:
            try:
                answer = await self._ask(http, attempt, "/api/relays/enrol", json=body)
            except (Refused, Absent) as error:
                self._tell_problem("relay-enrolment-failed", error)
                if isinstance(error, Refused) and error.code in _FINAL:
                    self._keep(replace(self._kept, refused=_digest(code)))
                    return
                await asyncio.sleep(_pause(error, attempt // len(self._settings.parents)))
                attempt += 1
                continue
            name = str(answer.get("name") or self._settings.name)[:60]
            self._accept(str(answer["token"]))
            self._keep(replace(self._kept, name=name, spent=_digest(code)))
            _log.info("relay-enrolled", extra={"relay": self.id, "school": name})
            self.problem = None
            self._tell()
            return

    def _is_old(self) -> bool:
        claims = unchecked_claims(self._enrolled)
        if claims is None:
            return True
        # With a clock that stands before its beginning there is no telling: the half is not over.
        return self._date() > (claims.issued_at + claims.expires_at) / 2.0

    async def _renew(self, http: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {self._enrolled}"}
        for attempt in range(len(self._settings.parents)):
            try:
                answer = await self._ask(http, attempt, "/api/relays/renew", headers=headers)
            except (Refused, Absent) as error:
                self._tell_problem("relay-token-not-renewed", error)
                continue
            self._accept(str(answer["token"]))
            _log.info("relay-token-renewed", extra={"relay": self.id})
            self.problem = None
            self._tell()
            return

    async def _ask(
        self, http: aiohttp.ClientSession, attempt: int, path: str, **options: Any
    ) -> dict[str, Any]:
        """The answer of one parent; Refused as it refuses, Absent when it cannot be asked."""
        url = self._settings.parents[attempt % len(self._settings.parents)].rstrip("/")
        return await post(http, url + path, **options)

    def _accept(self, token: str) -> None:
        """Keep the token; one that cannot be kept counts until the next power cut."""
        self._enrolled = token
        temporary = self._token_file.with_name(f".{self._token_file.name}.tmp")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                write_all(descriptor, token.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, self._token_file)
            sync_directory(self._token_file.parent)
        except OSError as error:
            _log.error("relay-token-not-kept", extra={"reason": str(error)})

    def _read_token(self) -> str:
        if not self._settings.parents:
            return ""
        try:
            token = self._token_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""
        return token if unchecked_claims(token) is not None else ""

    def _read_kept(self) -> _Kept:
        try:
            table = json.loads(self._kept_file.read_bytes())
            return _Kept(*(str(table.get(key, "")) for key in _KEPT))
        except (OSError, ValueError, AttributeError, RecursionError):
            return _Kept()

    def _keep(self, kept: _Kept) -> None:
        self._kept = kept
        try:
            write_atomic(self._kept_file, json.dumps(asdict(kept)).encode())
            os.chmod(self._kept_file, 0o600)
        except OSError as error:
            _log.error("enrolment-not-kept", extra={"reason": str(error)})

    def _tell_problem(self, what: str, error: Refused | Absent) -> None:
        # A parent that is away is asked every half minute; that is said once.
        if str(self.problem) != str(error):
            code = error.code if isinstance(error, Refused) else "absent"
            _log.error(what, extra={"code": code, "reason": str(error), "fix": error.fix})
        self.problem = error

    def _tell(self) -> None:
        for observer in list(self._observers):
            observer()


async def post(http: aiohttp.ClientSession, url: str, **options: Any) -> dict[str, Any]:
    """The JSON object that a POST to a control plane or a relay gives.

    Refused as it refuses; Absent when it is away, or answers what is no answer.
    """
    away = Absent(
        "The relay or central school above this one cannot be asked now.",
        fix="Check that the machine has internet and the address of its parent is right, and wait.",
        retry_after=5.0,
    )
    try:
        async with http.post(url, allow_redirects=False, **options) as answer:
            raw = await read_body(answer.content, _MOST_BYTES)
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise away from error
    try:
        table = json.loads(raw)
        if not isinstance(table, dict):
            raise ValueError("no object")
    # RecursionError: a body of nested brackets.
    except (ValueError, RecursionError) as error:
        raise away from error
    if status >= 500 or status in (408, 425):
        raise away
    if status >= 400:
        raise Refused(
            status,
            str(table.get("type", "")).rpartition(":")[2][:60] or "refused",
            str(table.get("detail", "It was refused."))[:500],
            fix=str(table.get("fix", "Ask the central school."))[:500],
            field="code",
        )
    with contextlib.suppress(KeyError, TypeError):
        if unchecked_claims(table["token"]) is not None:
            return table
    raise away


def _bearer(data: bytes) -> str:
    """The token in the bytes of a file or a setting, "" for none: one that is broken over two
    lines, or in UTF-16 as some editors save it, could not even be sent (RFC 6750 section 2.1)."""
    data = data.strip()
    return data.decode() if _BEARER.fullmatch(data) else ""


def _pause(error: Refused | Absent, rounds: int) -> float:
    if isinstance(error, Refused) and error.status == 429:
        return 60.0 * random.uniform(1.0, 1.5)
    return retry_delay(rounds, random.random())


def _digest(code: str) -> str:
    # Of a code that is spent: no secret any more, and its file is its owner's alone.
    return hashlib.sha256("".join(code.split()).replace("-", "").upper().encode()).hexdigest()
