"""ICE-lite (RFC 8445 §2.5) for many sessions behind one port, and their consent (RFC 7675).

A session is found by the local half of USERNAME, then by address. The relay never sends a check:
it answers them, learns from them where a peer is, follows it when it moves, and counts the last
authenticated one as consent. No sockets and no clock here; bytes are `stun`'s.

A check is signed with our password alone, and who never sends one needs nothing of the peer's: so
only our half of USERNAME is looked at (RFC 8445 §7.3). Thereby our credentials are agreed for every
restart to come: a page that lost its path begins anew with credentials of its own making, under
the answer that it has, without a word over HTTP; its first check to get through is understood.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from relay.transport import stun

# RFC 7675 §5.1: consent lapses 30 s after the last authenticated check; sending stops then.
CONSENT_SECONDS: Final = 30.0
# A peer behind several networks rarely checks from more; a bound on what one can make us keep.
MAX_ADDRESSES: Final = 8
# Of those, streams: the path in use and one to move to. Streams are few, and all rooms share them
# (`tcp`), so no session may collect them.
MAX_STREAMS: Final = 2
# When the selected address has been silent this long, a check from another one moves the peer
# even without USE-CANDIDATE: three times a browser's slowest check interval on a working pair
# would be 7.5 s, but a browser that lost its network checks every 48 ms to 0.5 s.
SILENT_SECONDS: Final = 2.0
# A stream is a browser's second choice, which it may check beside its first one without wanting it:
# only when that is long gone is it taken without being nominated.
SILENT_BEFORE_STREAM_SECONDS: Final = 7.5
# Largest STUN message that a browser sends is under 200 bytes.
MAX_STUN_BYTES: Final = 548
# Behind the raw socket address of a TCP connection, so that it is never taken for a datagram's.
STREAM_MARK: Final = b"tcp"

# Letters and digits of ice-char (RFC 8445 §5.3), so that credentials are safe in URLs and logs.
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


@dataclass(frozen=True, slots=True)
class Credentials:
    """One side's ICE credentials: 4 to 256 and 22 to 256 ice-chars (RFC 8839 §5.4)."""

    ufrag: str
    password: str

    @classmethod
    def generate(cls) -> Credentials:
        """48 and 143 bits of randomness; both are above the RFC's floor of 24 and 128."""
        return cls(_random(8), _random(24))


@dataclass(slots=True, eq=False)
class IceSession:
    """What ICE knows of one peer.

    local: our credentials; during a restart by PATCH the last ones that a check has used stay valid
    in `former`, however often the peer begins anew, for its old path still needs consent.
    remote, former_remote: the peer's as last told, and those before its last restart by PATCH.
    addresses: address → time of its last authenticated check, seconds.
    selected: where we send, or None before the first check.
    last_check: time of the last authenticated check from anywhere, or None.
    """

    local: Credentials
    remote: Credentials
    former: Credentials | None = None
    former_remote: Credentials | None = None
    addresses: dict[bytes, float] = field(default_factory=dict)
    selected: bytes | None = None
    last_check: float | None = None

    def has_consent(self, now: float) -> bool:
        """Whether media may be sent to `selected` at `now`."""
        return self.last_check is not None and now - self.last_check <= CONSENT_SECONDS


@dataclass(slots=True)
class Check:
    """What one datagram of STUN led to.

    response: bytes to send back to where it came from, or None.
    session: the session it authenticated to, or None.
    moved: whether `session.selected` changed.
    forgotten: an address that no longer belongs to the session, or None.
    """

    response: bytes | None = None
    session: IceSession | None = None
    moved: bool = False
    forgotten: bytes | None = None


class IceTable:
    """All sessions of one port, by local username fragment."""

    def __init__(self) -> None:
        self._by_ufrag: dict[str, IceSession] = {}

    def add(self, session: IceSession) -> None:
        """Make the session's current local credentials answerable."""
        self._by_ufrag[session.local.ufrag] = session

    def restart(self, session: IceSession, remote: Credentials) -> Credentials:
        """Begin an ICE restart (RFC 8445 §2.4): new local credentials, which are returned.

        The selected address keeps receiving until a check with the new credentials arrives.
        """
        if session.former is None:
            session.former = session.local
        else:
            # No check has used the present ones: the restart before this one led nowhere.
            self._by_ufrag.pop(session.local.ufrag, None)
        session.former_remote = session.remote
        session.local = Credentials.generate()
        session.remote = remote
        self.add(session)
        return session.local

    def remove(self, session: IceSession) -> None:
        """Forget the session and all its credentials."""
        for credentials in (session.local, session.former):
            if credentials is not None:
                self._by_ufrag.pop(credentials.ufrag, None)

    def selected(self) -> set[bytes]:
        """The addresses that are some session's path."""
        return {one.selected for one in self._by_ufrag.values() if one.selected is not None}

    def receive(self, data: bytes, source: bytes, now: float) -> Check:
        """Take one datagram of STUN from `source` (a raw sockaddr, marked when it is a stream's).

        Whatever cannot be authenticated yields an empty Check: silence, as RFC 8489 §6.3 allows,
        so that the port tells strangers nothing. Never raises.
        """
        request = stun.read_request(data) if len(data) <= MAX_STUN_BYTES else None
        if request is None:
            return Check()
        ufrag = request.username.partition(":")[0]
        session = self._by_ufrag.get(ufrag)
        if session is None:
            return Check()
        credentials = session.local
        if ufrag != credentials.ufrag:
            if session.former is None or ufrag != session.former.ufrag:
                return Check()
            credentials = session.former
        key = credentials.password.encode()
        if not request.is_authentic(key):
            return Check()
        if request.controlled:
            # A lite agent is always controlled, so a peer that says so too must switch.
            return Check(response=stun.write_role_conflict(request, key))
        response = stun.write_success(request, key, source.removesuffix(STREAM_MARK))
        check = Check(response=response, session=session)
        session.last_check = now
        if credentials is session.local and session.former is not None:
            self._by_ufrag.pop(session.former.ufrag, None)
            session.former = None
        _learn(session, source, request.nominated, now, check)
        return check


def _learn(session: IceSession, source: bytes, nominated: bool, now: float, check: Check) -> None:
    session.addresses[source] = now
    current = session.selected
    is_stream = source.endswith(STREAM_MARK)
    patience = SILENT_BEFORE_STREAM_SECONDS if is_stream else SILENT_SECONDS
    if current != source and (
        current is None or nominated or now - session.addresses.get(current, -patience) > patience
    ):
        session.selected = source
        check.moved = True
    # A check brings one address at most, so it is enough to forget one.
    spare = [address for address in session.addresses if address != session.selected]
    if is_stream and sum(one.endswith(STREAM_MARK) for one in session.addresses) > MAX_STREAMS:
        spare = [address for address in spare if address.endswith(STREAM_MARK)]
    elif len(session.addresses) <= MAX_ADDRESSES:
        return
    check.forgotten = min(spare, key=session.addresses.__getitem__)
    del session.addresses[check.forgotten]
