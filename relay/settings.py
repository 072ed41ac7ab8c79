"""The relay's settings: frozen, read once at start; config/relay.toml lists every key.

Command-line flags override the file. Bounds are checked here, so that a wrong value stops the
start with a sentence and never a lesson.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from classroom.errors import Misuse
from relay.sync.allowance import spans_of


@dataclass(frozen=True)
class MediaSettings:
    """The media process. Addresses are IP addresses, times seconds, rates bit/s."""

    udp_host: str = "0.0.0.0"
    udp_port: int = 8082
    tcp_port: int = 0
    announce: tuple[str, ...] = ()
    viewers_max: int = 1000
    session_seconds: float = 900.0
    beat_seconds: float = 8.0
    start_bitrate: float = 60_000.0

    def __post_init__(self) -> None:
        for name, address in (
            ("udp_host", self.udp_host),
            *(("announce", one) for one in self.announce),
        ):
            try:
                ip_address(address)
            except ValueError as error:
                raise Misuse(f"media.{name} holds {address!r}; it must be an IP address") from error
        _within("media.udp_port", self.udp_port, 0, 65_535)
        _within("media.tcp_port", self.tcp_port, -1, 65_535)
        _within("media.viewers_max", self.viewers_max, 1, 10_000)
        _within("media.session_seconds", self.session_seconds, 30, 86_400)
        _within("media.beat_seconds", self.beat_seconds, 2, 30)
        _within("media.start_bitrate", self.start_bitrate, 30_000, 20_000_000)


@dataclass(frozen=True)
class CacheSettings:
    """What recordings and materials may take of the disk, in units of 10^9 bytes. quota_gb: of
    recordings, 0 for no quota. materials_gb: of files that teachers give along with lessons."""

    quota_gb: float = 0.0
    free_floor_gb: float = 2.0
    materials_gb: float = 2.0

    def __post_init__(self) -> None:
        _within("cache.quota_gb", self.quota_gb, 0, 1_000_000)
        _within("cache.free_floor_gb", self.free_floor_gb, 0.1, 1_000_000)
        _within("cache.materials_gb", self.materials_gb, 0.1, 1_000_000)


@dataclass(frozen=True)
class SyncSettings:
    """Fetching recordings, on a relay with parents. windows: "22:00-05:00" and the like, none for
    always. rate_kbps: kbit/s, daily_mb: units of 10^6 bytes, 0 for no limit. metered: every byte of
    the link to the parent costs money. siblings: base addresses of relays on the LAN."""

    windows: tuple[str, ...] = ()
    rate_kbps: float = 0.0
    daily_mb: float = 0.0
    metered: bool = False
    siblings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        spans_of(self.windows)
        _within("sync.rate_kbps", self.rate_kbps, 0, 10_000_000)
        _within("sync.daily_mb", self.daily_mb, 0, 10_000_000)
        for sibling in self.siblings:
            if not _is_http(sibling):
                raise Misuse(f"sync.siblings holds {sibling!r}; it must be an http address")
        if len(set(self.siblings)) != len(self.siblings) or len(self.siblings) > _SIBLINGS_MAX:
            raise Misuse(f"sync.siblings must name up to {_SIBLINGS_MAX} relays, each of them once")


@dataclass(frozen=True)
class ReplaySettings:
    """Replay of recordings. visitors: who is on the relay's own network and has no link may watch
    published lessons: "on", "off", or "auto", which is on where the relay has a parent.
    plain_port: TCP, -1 for none. files_gb: units of 10^9 bytes."""

    visitors: str = "auto"
    plain_port: int = 8083
    mdns: bool = True
    copies: bool = True
    files_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.visitors not in _VISITORS:
            raise Misuse(f'replay.visitors is {self.visitors!r}; write "auto", "on" or "off"')
        _within("replay.plain_port", self.plain_port, -1, 65_535)
        _within("replay.files_gb", self.files_gb, 0.1, 1_000)


@dataclass(frozen=True)
class RelaySettings:
    """The relay as a whole. data: directory of archives, keys' copy and state.

    What may be left out is None; the file, which knows no null, writes "" for it.
    parents: base addresses of the relays that this one takes its lessons from, first preferred;
    none: the root relay, which belongs to the control plane at `central`.
    code: what a relay with parents enrols with, once.
    ice_servers: STUN and TURN addresses for peers, "stun:HOST" or "turn:HOST USER PASSWORD".
    """

    host: str = "0.0.0.0"
    port: int = 8081
    public_url: str | None = None
    central: str = "http://127.0.0.1:8080"
    parents: tuple[str, ...] = ()
    code: str | None = None
    ice_servers: tuple[str, ...] = ()
    token: str | None = None
    token_file: str | None = None
    name: str = "root"
    data: str = "relay-data"
    tls_certificate: str | None = None
    tls_key: str | None = None
    media: MediaSettings = field(default_factory=MediaSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)

    def __post_init__(self) -> None:
        for name in ("public_url", "token", "token_file", "tls_certificate", "tls_key", "code"):
            if getattr(self, name) == "":
                object.__setattr__(self, name, None)
        _within("port", self.port, 0, 65_535)
        if not self.name or len(self.name) > 60:
            raise Misuse("name must be 1 to 60 characters")
        if not self.data:
            raise Misuse("data must name a directory")
        for name in ("central", "public_url"):
            url = getattr(self, name)
            if url is not None and not _is_http(url):
                raise Misuse(f"{name} is {url!r}; it must be an http or https address")
        for parent in self.parents:
            if not _is_http(parent):
                raise Misuse(f"parents holds {parent!r}; it must be an http or https address")
        if len(set(self.parents)) != len(self.parents) or len(self.parents) > _PARENTS_MAX:
            raise Misuse(f"parents must name up to {_PARENTS_MAX} relays, each of them once")
        if self.code is not None and not self.parents:
            raise Misuse(
                "code enrols a relay with its parent: name that with --parent, or leave it out"
            )
        for server in self.ice_servers:
            if not _ICE_SERVER.match(server):
                raise Misuse(
                    f'ice_servers holds {server!r}; write "stun:HOST:PORT" or '
                    '"turn:HOST:PORT USER PASSWORD"'
                )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise Misuse("tls_certificate and tls_key go together: set both or neither")


_VISITORS: Final = ("auto", "on", "off")
# Each is asked in turn while all are away; with more, the first would wait for minutes.
_PARENTS_MAX: Final = 8
_SIBLINGS_MAX: Final = 16
_HTTP: Final = re.compile(r"https?://[^/\s?#]+/?\Z")
_HOST: Final = r"[\w.\-\[\]:]+(\?transport=(udp|tcp))?"
# What stands in a quoted string of a Link header must need no escape there.
_ICE_SERVER: Final = re.compile(rf'stuns?:{_HOST}\Z|turns?:{_HOST} [^\s"\\]+ [^\s"\\]+\Z', re.A)


def _is_http(url: str) -> bool:
    """Whether `url` is the base address of a server, as can be asked."""
    try:
        parts = urlsplit(url)
        return bool(_HTTP.match(url) and parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is no number
        return False


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise Misuse(f"{name} is {value}; it must be from {least} to {most}")
