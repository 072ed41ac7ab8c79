"""The relay's settings: frozen, read once at start; config/relay.toml lists every key.

Command-line flags override the file. Bounds are checked here, so that a wrong value stops the
start with a sentence and never a lesson.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from classroom.errors import Misuse


@dataclass(frozen=True)
class MediaSettings:
    """The media process. Addresses are IP addresses, times seconds, rates bit/s."""

    udp_host: str = "0.0.0.0"
    udp_port: int = 8082
    announce: tuple[str, ...] = ()
    viewers_max: int = 1000
    session_seconds: float = 600.0
    beat_seconds: float = 8.0
    start_bitrate: float = 600_000.0

    def __post_init__(self) -> None:
        _within("media.udp_port", self.udp_port, 0, 65_535)
        _within("media.viewers_max", self.viewers_max, 1, 10_000)
        _within("media.session_seconds", self.session_seconds, 30, 86_400)
        _within("media.beat_seconds", self.beat_seconds, 2, 30)
        _within("media.start_bitrate", self.start_bitrate, 30_000, 20_000_000)


@dataclass(frozen=True)
class RelaySettings:
    """The relay as a whole. data: directory of archives, keys' copy and state."""

    host: str = "0.0.0.0"
    port: int = 8081
    public_url: str | None = None
    central: str = "http://127.0.0.1:8080"
    token: str | None = None
    token_file: str | None = None
    name: str = "root"
    data: str = "relay-data"
    tls_certificate: str | None = None
    tls_key: str | None = None
    media: MediaSettings = field(default_factory=MediaSettings)

    def __post_init__(self) -> None:
        _within("port", self.port, 0, 65_535)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise Misuse("tls_certificate and tls_key go together: set both or neither")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise Misuse(f"{name} is {value}; it must be from {least} to {most}")
