"""Codes and relays of schools: how a code is written, how often it is guessed, what SQL keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from classroom.errors import Refused
from classroom.signalling import HeardBelow, told_below
from classroom.store import Records
from classroom.tokens import Tries, address_proof, code_digest, new_code, read_code, source_of
from classroom.tokens.codes import ALPHABET
from classroom.wire import MAX_NODES, RelayNode, encode

NOW, WEEK, YEAR = 1_767_600_000.0, 604_800.0, 31_536_000.0


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    made = Records("", tmp_path)
    await made.prepare()
    yield made
    await made.close()


async def refused(records: Records, digest: str, key: str = "k", now: float = NOW) -> str:
    with pytest.raises(Refused) as caught:
        await records.relays.enrol(digest, key, new_id="school-x", now=now, expires_at=now + YEAR)
    assert caught.value.status == 403
    assert caught.value.fix
    return caught.value.code


def test_a_code_is_read_however_it_is_written() -> None:
    code = new_code()
    assert len(code) == 11
    plain = code.replace("-", "")
    assert set(plain) <= set(ALPHABET)
    for written in (code, code.lower(), f" {plain} ", plain[:3] + " " + plain[3:], f"{plain}\n"):
        assert read_code(written) == plain
    assert len({new_code() for _ in range(50)}) == 50
    assert code_digest(plain) == code_digest(plain) != code_digest(plain[::-1] + "2")
    assert plain not in code_digest(plain)


@pytest.mark.parametrize(
    "written", ["", "BCFGH-JKMN", "BCFGH-JKMNPP", "BCFGH-JKMNO", "BCFGH/JKMNP"]
)
def test_what_is_no_code_is_refused_before_it_counts(written: str) -> None:
    with pytest.raises(Refused) as caught:
        read_code(written)
    assert (caught.value.status, caught.value.code) == (400, "code-malformed")


def test_no_sign_of_a_code_is_changed_by_a_vietnamese_keyboard() -> None:
    # Telex makes other letters of vowels, D and W; VNI of vowels and D with digits after them.
    assert not set(ALPHABET) & set("AEIOUYDW")
    assert not set(ALPHABET) & set("L01")


def test_guesses_are_bounded_by_source_and_time() -> None:
    tries = Tries(3, 600.0)
    for at in range(3):
        tries.begin("a", float(at))
    with pytest.raises(Refused) as caught:
        tries.begin("a", 3.0)
    assert (caught.value.status, caught.value.code) == (429, "too-many-tries")
    assert "10 minutes" in caught.value.fix
    tries.begin("b", 3.0)
    tries.begin("a", 600.5)  # the first of its three is out of time
    with pytest.raises(Refused):
        tries.begin("a", 600.6)


def test_right_tries_do_not_count() -> None:
    tries = Tries(2, 600.0)
    for at in range(20):
        tries.begin("a", float(at))
        tries.forgive("a")


def test_many_sources_do_not_fill_the_memory() -> None:
    tries = Tries(2, 600.0)
    for number in range(5_000):
        tries.begin(str(number), 0.0)
    assert len(tries._failures) <= 2_000


def test_a_home_is_one_source() -> None:
    assert source_of("2001:db8:1:2:aaaa::1") == source_of("2001:db8:1:2:bbbb::2")
    assert source_of("2001:db8:1:2::1") != source_of("2001:db8:1:3::1")
    assert source_of("192.0.2.1") == "192.0.2.1"
    assert source_of(None) == ""


async def test_a_code_makes_one_relay_and_no_second(records: Records) -> None:
    await records.relays.add_code("d" * 64, "Trà Leng", now=NOW, expires_at=NOW + WEEK)
    assert await refused(records, "e" * 64) == "code-unknown"
    made = await records.relays.enrol(
        "d" * 64, "key", new_id="school-1", now=NOW, expires_at=NOW + YEAR
    )
    assert (made.id, made.name, made.revoked_at) == ("school-1", "Trà Leng", None)
    assert await refused(records, "d" * 64, "other") == "code-used"
    # The same machine asks again: its answer was lost.
    again = await records.relays.enrol(
        "d" * 64, "key", new_id="school-2", now=NOW + 60, expires_at=NOW + YEAR
    )
    assert again.id == "school-1"
    assert [relay.id for relay in await records.relays.all()] == ["school-1"]
    await records.relays.revoke("school-1", now=NOW + 70)
    assert await refused(records, "d" * 64, "key") == "relay-revoked"


async def test_a_code_is_good_for_its_time(records: Records) -> None:
    await records.relays.add_code("d" * 64, "Trà Leng", now=NOW, expires_at=NOW + WEEK)
    assert await refused(records, "d" * 64, now=NOW + WEEK) == "code-expired"
    later = NOW + 3 * WEEK
    await records.relays.add_code("e" * 64, "Trà Leng", now=later, expires_at=later + WEEK)
    assert await refused(records, "d" * 64, now=later) == "code-unknown"


async def test_revoked_ones_are_told_until_their_tokens_are_over(records: Records) -> None:
    for number in range(3):
        digest = str(number) * 64
        await records.relays.add_code(digest, f"S{number}", now=NOW, expires_at=NOW + WEEK)
        await records.relays.enrol(
            digest, "k", new_id=f"school-{number}", now=NOW, expires_at=NOW + YEAR
        )
        await records.relays.revoke(f"school-{number}", now=NOW + number)
    assert await records.relays.revoked(NOW, 10) == ["school-2", "school-1", "school-0"]
    assert await records.relays.revoked(NOW, 2) == ["school-2", "school-1"]
    assert await records.relays.revoked(NOW + YEAR, 10) == []


async def test_a_schools_address_is_found_by_its_name(records: Records) -> None:
    with pytest.raises(Refused) as caught:
        await records.relays.url_of("Trà Leng")
    assert caught.value.code == "school-unknown"
    await records.relays.add_code("d" * 64, "Trà Leng", now=NOW, expires_at=NOW + WEEK)
    await records.relays.enrol("d" * 64, "k", new_id="school-1", now=NOW, expires_at=NOW + YEAR)
    with pytest.raises(Refused) as caught:
        await records.relays.url_of("Trà Leng")
    assert caught.value.code == "school-not-here"
    url = "http://192.168.1.9:8081"
    assert await records.relays.moved("school-1", url, address_proof("k", "school-1", url))
    assert await records.relays.url_of("Trà Leng") == "http://192.168.1.9:8081"
    assert await records.relays.url_of("school-1") == "http://192.168.1.9:8081"


@pytest.mark.parametrize(
    ("key", "relay", "url"),
    [
        ("k", "school-2", "http://evil.example"),
        ("k", "school-1", "http://192.168.1.9:8081"),
        ("other", "school-1", "http://evil.example"),
        ("", "school-1", "http://evil.example"),
    ],
)
async def test_an_address_is_believed_of_the_relay_itself_alone(
    records: Records, key: str, relay: str, url: str
) -> None:
    for name, its_key in (("1", "k"), ("2", "k2")):
        await records.relays.add_code(name * 64, f"S{name}", now=NOW, expires_at=NOW + WEEK)
        await records.relays.enrol(
            name * 64, its_key, new_id=f"school-{name}", now=NOW, expires_at=NOW + YEAR
        )
    known = "http://192.168.1.8:8081"
    assert await records.relays.moved("school-1", known, address_proof("k", "school-1", known))
    proof = address_proof(key, relay, url) if key else ""
    assert not await records.relays.moved("school-1", "http://evil.example", proof)
    assert not await records.relays.moved("nobody", url, proof)
    assert await records.relays.url_of("S1") == known


async def test_records_of_an_earlier_version_get_the_new_tables(tmp_path: Path) -> None:
    old = Records("", tmp_path)
    await old.prepare()
    async with old._writing.begin() as connection:
        await connection.execute(text("DROP TABLE relay_codes"))
        await connection.execute(text("DROP TABLE school_relays"))
    await old.close()
    new = Records("", tmp_path)
    await new.prepare()
    assert await new.relays.all() == []
    await new.close()


def node(number: int, parent: str = "school-r") -> RelayNode:
    return RelayNode(f"school-{number}", "T" * 60, "http://" + "u" * 400, "0.1.0", 40, parent)


def test_a_tree_is_told_in_pieces_that_fit_and_then_by_its_changes() -> None:
    now = {one.id: one for one in (node(number) for number in range(2 * MAX_NODES + 1))}
    heard = HeardBelow()
    messages = list(told_below(None, now))
    assert [message.reset for message in messages] == [True, False, False]
    for message in messages:
        encode(message)
        heard.receive(message)
    assert heard.nodes == now
    assert list(told_below(now, now)) == []
    after = {key: one for key, one in now.items() if key != "school-3"}
    after["school-4"] = node(4, "school-q")
    (change,) = told_below(now, after)
    assert (change.relays, change.gone) == ((after["school-4"],), ("school-3",))
    heard.receive(change)
    assert heard.nodes == after
    (empty,) = told_below(None, {})
    assert (empty.reset, empty.relays) == (True, ())
    heard.receive(empty)
    assert heard.nodes == {}
