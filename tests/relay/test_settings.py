"""The relay's settings: file and dataclass say the same, every key is explained, a wrong value
stops the start with a sentence that names its key.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import pytest

from classroom.errors import Misuse
from classroom.toml_settings import from_table, load
from relay.__main__ import parser
from relay.settings import CacheSettings, MediaSettings, RelaySettings, ReplaySettings, SyncSettings

FILE = Path(__file__).parent.parent.parent / "config" / "relay.toml"


def _keys(
    cls: type[RelaySettings]
    | type[MediaSettings]
    | type[CacheSettings]
    | type[SyncSettings]
    | type[ReplaySettings],
) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


def test_the_file_lists_every_key_with_its_default() -> None:
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    assert set(table) == _keys(RelaySettings)
    assert set(table["media"]) == _keys(MediaSettings)
    assert set(table["cache"]) == _keys(CacheSettings)
    assert set(table["sync"]) == _keys(SyncSettings)
    assert set(table["replay"]) == _keys(ReplaySettings)
    # Two places stand as the unit for systemd needs them.
    found = load(RelaySettings, FILE)
    assert dataclasses.replace(found, data="relay-data", token_file=None) == RelaySettings()


def test_every_key_is_explained_above_it() -> None:
    above = ""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if " = " in line and not line.startswith("#"):
            assert above, f"{line} has no words above it"
        elif line.startswith("#"):
            above += line
        elif not line:
            above = ""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", -1),
        ("port", 65_536),
        ("port", "8081"),
        ("public_url", "relay.example"),
        ("public_url", "https://[relay"),
        ("central", "https://relay.example:80a"),
        ("public_url", "https://relay.example/path"),
        ("central", ""),
        ("central", "ftp://central.example"),
        ("parents", ["relay.example"]),
        ("parents", ["https://relay.example/trunk"]),
        ("parents", ["https://relay.example", "https://relay.example"]),
        ("parents", [f"https://relay-{number}.example" for number in range(9)]),
        ("parents", "https://relay.example"),
        ("code", "ABCDE-FGHJK"),
        ("ice_servers", ["https://stun.example"]),
        ("ice_servers", ["turn:turn.example"]),
        ("ice_servers", ['turn:turn.example a"b c']),
        ("ice_servers", ["stun:stun.example\r\nX: y"]),
        ("ice_servers", "stun:stun.example"),
        ("name", ""),
        ("name", "n" * 61),
        ("data", ""),
        ("tls_key", "key.pem"),
        ("tls_certificate", "chain.pem"),
        ("colour", "green"),
    ],
)
def test_a_bad_value_names_its_key(key: str, value: object) -> None:
    with pytest.raises(Misuse, match=key):
        from_table(RelaySettings, {key: value}, where="relay.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("udp_host", "localhost"),
        ("udp_port", 65_536),
        ("announce", ["relay.example"]),
        ("viewers_max", 0),
        ("session_seconds", 1.0),
        ("session_seconds", float("nan")),
        ("beat_seconds", 60),
        ("start_bitrate", 1),
    ],
)
def test_a_bad_value_of_the_media_names_its_key(key: str, value: object) -> None:
    with pytest.raises(Misuse, match=key):
        from_table(RelaySettings, {"media": {key: value}}, where="relay.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [("quota_gb", -1), ("quota_gb", "64"), ("free_floor_gb", 0), ("free_floor_gb", float("nan"))],
)
def test_a_bad_value_of_the_cache_names_its_key(key: str, value: object) -> None:
    with pytest.raises(Misuse, match=key):
        from_table(RelaySettings, {"cache": {key: value}}, where="relay.toml")


@pytest.mark.parametrize(
    ("key", "value"), [("visitors", "yes"), ("visitors", True), ("plain_port", -2), ("files_gb", 0)]
)
def test_a_bad_value_of_replay_names_its_key(key: str, value: object) -> None:
    with pytest.raises(Misuse, match=key):
        from_table(RelaySettings, {"replay": {key: value}}, where="relay.toml")


@pytest.mark.parametrize(
    "server",
    [
        "stun:stun.example",
        "stuns:stun.example:5349",
        "turn:turn.example:3478?transport=tcp ann s3cret",
        "turns:[2001:db8::1]:5349 ann s3cret",
    ],
)
def test_stun_and_turn_servers_are_taken(server: str) -> None:
    assert RelaySettings(ice_servers=(server,)).ice_servers == (server,)


def test_parents_come_in_the_order_that_they_are_named() -> None:
    words = "serve --parent https://region.example --parent https://root.example --code ABCDEFGHJK"
    options = parser().parse_args(words.split())
    assert options.parents == ["https://region.example", "https://root.example"]
    settings = RelaySettings(parents=tuple(options.parents), code=options.code)
    assert settings.parents[0] == "https://region.example"


def test_an_empty_text_means_none() -> None:
    assert RelaySettings(public_url="", token="", tls_key="", tls_certificate="") == RelaySettings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("windows", ["22-5"]),
        ("windows", "22:00-05:00"),
        ("rate_kbps", -1),
        ("daily_mb", float("nan")),
        ("metered", "yes"),
        ("siblings", ["10.1.2.3"]),
        ("siblings", ["http://10.1.2.3", "http://10.1.2.3"]),
    ],
)
def test_a_bad_value_of_the_sync_names_its_key(key: str, value: object) -> None:
    with pytest.raises(Misuse, match=key):
        from_table(RelaySettings, {"sync": {key: value}}, where="relay.toml")
