"""Settings of the control plane; `config/classroom.toml` lists each key with its unit and reason.

Frozen dataclasses, read once at start through `toml_settings`. Bounds are checked here, each
failure a Misuse that names the key. A test compares these defaults with the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from classroom.archive.materials import MAX_MATERIAL_BYTES
from classroom.errors import Misuse
from classroom.tokens import Role

_LEVELS = ("debug", "info", "warning", "error")
_SCHOOL_CHARS = 60


def _positive(where: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise Misuse(f"{where}.{name} must be more than 0, not {value:g}")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the control plane listens and how it is reached."""

    host: str = "0.0.0.0"
    port: int = 8080
    public_url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    body_limit_kib: int = 64
    log_level: str = "info"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise Misuse(f"server.port must be from 0 to 65535, not {self.port}")
        if self.public_url:
            check_public_url("server.public_url", self.public_url)
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise Misuse("server.tls_certificate and server.tls_key must be set together")
        if self.log_level not in _LEVELS:
            raise Misuse(f"server.log_level must be one of {', '.join(_LEVELS)}")
        _positive("server", body_limit_kib=self.body_limit_kib)


@dataclass(frozen=True, slots=True)
class Storage:
    """Where records, the signing key and live state are kept."""

    data: str = "classroom-data"
    database_url: str = ""
    redis_url: str = ""

    def __post_init__(self) -> None:
        if not self.data:
            raise Misuse("storage.data must name a directory")
        if self.redis_url:
            parts = _parts("storage.redis_url", self.redis_url)
            if parts.scheme not in ("redis", "rediss", "unix"):
                raise Misuse("storage.redis_url must begin with redis://, rediss:// or unix://")


@dataclass(frozen=True, slots=True)
class Lessons:
    """When lessons end by themselves and when a relay counts as gone. Seconds, hours.

    school: which school teaches, of lessons that do not say so."""

    school: str = ""
    idle_end_s: float = 900.0
    silent_end_s: float = 14400.0
    relay_lost_s: float = 15.0
    publish_token_h: float = 12.0

    def __post_init__(self) -> None:
        _positive(
            "lessons",
            idle_end_s=self.idle_end_s,
            silent_end_s=self.silent_end_s,
            relay_lost_s=self.relay_lost_s,
            publish_token_h=self.publish_token_h,
        )
        if len(self.school) > _SCHOOL_CHARS or not self.school.isprintable():
            raise Misuse(f"lessons.school must be one line of at most {_SCHOOL_CHARS} characters")
        if self.silent_end_s < self.idle_end_s:
            raise Misuse("lessons.silent_end_s must not be less than lessons.idle_end_s")


@dataclass(frozen=True, slots=True)
class Links:
    """How many days a new link is good for, by role."""

    teacher_days: float = 365.0
    room_days: float = 365.0
    viewer_days: float = 30.0
    relay_days: float = 3650.0
    school_days: float = 400.0

    def __post_init__(self) -> None:
        _positive(
            "links",
            teacher_days=self.teacher_days,
            room_days=self.room_days,
            viewer_days=self.viewer_days,
            relay_days=self.relay_days,
            school_days=self.school_days,
        )

    def days_for(self, role: Role) -> float:
        """Days that a new link of `role` is good for."""
        days = {
            Role.TEACHER: self.teacher_days,
            Role.ROOM: self.room_days,
            Role.VIEWER: self.viewer_days,
            Role.RELAY: self.relay_days,
        }
        return days[role]


@dataclass(frozen=True, slots=True)
class Materials:
    """Files that teachers give along with lessons. Megabytes (10^6 bytes).

    dir: where they lie, empty for `materials` in the data directory."""

    dir: str = ""
    file_mb: int = 50
    lesson_mb: int = 100

    def __post_init__(self) -> None:
        most = MAX_MATERIAL_BYTES // 10**6
        if not 1 <= self.file_mb <= most:
            raise Misuse(f"materials.file_mb must be from 1 to {most}, not {self.file_mb}")
        if self.lesson_mb < self.file_mb:
            raise Misuse("materials.lesson_mb must not be less than materials.file_mb")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one table each."""

    server: Server = field(default_factory=Server)
    storage: Storage = field(default_factory=Storage)
    lessons: Lessons = field(default_factory=Lessons)
    links: Links = field(default_factory=Links)
    materials: Materials = field(default_factory=Materials)

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.storage.data)

    @property
    def materials_folder(self) -> Path:
        """Where the files lie that go along with lessons."""
        return Path(self.materials.dir) if self.materials.dir else self.data / "materials"

    def with_arguments(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        data: str | None = None,
        public_url: str | None = None,
    ) -> Settings:
        """These settings with what the command line gave; None leaves the setting."""
        server = replace(
            self.server,
            host=self.server.host if host is None else host,
            port=self.server.port if port is None else port,
            public_url=self.server.public_url if public_url is None else public_url.rstrip("/"),
        )
        storage = self.storage if data is None else replace(self.storage, data=data)
        return replace(self, server=server, storage=storage)


def _parts(name: str, url: str) -> SplitResult:
    """The parts of `url`; Misuse where host or port cannot be read. It may hold a password, so it
    is not repeated."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Misuse(f"{name} is not an address: {error}") from error
    return parts


def check_public_url(name: str, url: str) -> None:
    """Raise Misuse unless `url` is an http(s) address without path, as browsers reach us."""
    parts = _parts(name, url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise Misuse(
            f"{name} must be an address like https://school.example:8080 without a path, "
            f"not {url!r}"
        )
