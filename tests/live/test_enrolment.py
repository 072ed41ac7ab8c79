"""A school's relay enrols at the control plane: code, token, renewal, revocation, links, the tree.

A real control plane on a real port, the command line beside it, and relays without media. How a
relay does its side is tried in `test_school_relay`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from classroom import wire
from classroom.settings import Lessons, Settings
from classroom.signalling import told_below
from classroom.store import load_key
from classroom.tokens import Right, Role, Signer, Verifier, address_proof, key_digest
from tests.fakes.relay_tree import TreeRelay
from tests.live.central import Answer, Central, Wall, relay, running
from tests.live.command_line import Command

DAY_S = 86_400.0


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def central(tmp_path: Path, wall: Wall) -> AsyncIterator[Central]:
    # Relays count as lost soon, so the records are looked at for revocations often.
    settings = Settings(lessons=Lessons(relay_lost_s=0.3))
    async with running(tmp_path / "data", settings=settings, wall=wall) as central:
        yield central


@pytest.fixture
def command(central: Central, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(central.data, capsys)


async def enrol(central: Central, code: str, token: str | None = None, **more: str) -> Answer:
    body = {"code": code, "name": "mini-pc", **more}
    return await central.call("POST", "/api/relays/enrol", token, json=body)


async def test_a_code_gives_one_token_that_names_the_school(
    central: Central, command: Command
) -> None:
    code = await command("relay-code", "--name", "Tiểu học Trà Leng")
    answer = await enrol(central, code.lower().replace("-", " "), key="mine")
    assert answer.status == 200
    assert answer.json["name"] == "Tiểu học Trà Leng"
    verifier = Verifier(Signer(load_key(central.data)).jwks())
    claims = verifier.verify(answer.json["token"], 0.0)
    assert (claims.subject, claims.name) == (answer.json["id"], "Tiểu học Trà Leng")
    assert claims.role is Role.RELAY
    assert {Right.RELAY, Right.REPLAY} <= claims.rights
    # Once more by the same machine, whose answer was lost; by another, no.
    assert (await enrol(central, code, key="mine")).json["id"] == answer.json["id"]
    second = await enrol(central, code, key="other")
    assert (second.status, second.json["type"]) == (403, "urn:classroom:problem:code-used")
    # What is kept tells nobody the code.
    plain = code.replace("-", "").encode()
    files = [*central.data.glob("classroom.sqlite3*")]
    assert files
    assert not any(plain in file.read_bytes() for file in files)


async def test_a_code_is_good_for_a_week(central: Central, command: Command, wall: Wall) -> None:
    code = await command("relay-code", "--name", "Trà Leng")
    wall.ahead = 7 * DAY_S + 1
    late = await enrol(central, code)
    assert (late.status, late.json["type"]) == (403, "urn:classroom:problem:code-expired")


async def test_guessing_ends_soon_and_a_region_is_not_shut_out_by_it(central: Central) -> None:
    for _ in range(10):
        wrong = await enrol(central, "BBBBB-BBBBB")
        assert wrong.json["type"] == "urn:classroom:problem:code-unknown"
    stopped = await enrol(central, "BBBBB-BBBBB")
    assert (stopped.status, stopped.json["type"]) == (429, "urn:classroom:problem:too-many-tries")
    # A relay that passes on what schools behind it ask is another source.
    region = central.token(Role.RELAY, name="region")
    assert (await enrol(central, "BBBBB-BBBBB", region)).status == 403


@pytest.mark.parametrize(
    "body", [{}, {"code": 5}, {"code": "x"}, {"code": "BCFGHJKMNP", "key": "k" * 101}, []]
)
async def test_a_bad_request_says_what_is_wrong(central: Central, body: object) -> None:
    answer = await central.call("POST", "/api/relays/enrol", json=body)
    assert answer.status == 400


async def test_a_token_is_renewed_until_the_relay_is_revoked(
    central: Central, command: Command, wall: Wall
) -> None:
    code = await command("relay-code", "--name", "Trà Leng")
    first = (await enrol(central, code)).json
    wall.ahead = 200 * DAY_S
    renewed = await central.call("POST", "/api/relays/renew", first["token"])
    assert renewed.json["id"] == first["id"]
    assert renewed.json["expires_at"] > first["expires_at"] + 199 * DAY_S
    wall.ahead = 401 * DAY_S
    assert (await central.call("POST", "/api/relays/renew", first["token"])).status == 401
    assert (await central.call("POST", "/api/relays/renew", renewed.json["token"])).status == 200
    # One made by `classroom link relay` is not renewed here, and no other role's either.
    for role in (Role.RELAY, Role.TEACHER):
        token = central.token(role, days=500)
        assert (await central.call("POST", "/api/relays/renew", token)).status == 403

    assert "Trà Leng" in await command("relay-revoke", "Trà Leng")
    refused = await central.call("POST", "/api/relays/renew", renewed.json["token"])
    assert (refused.status, refused.json["type"]) == (403, "urn:classroom:problem:relay-revoked")
    assert "is called" in await command("relay-revoke", "Trà Leng", code=2)
    (listed,) = json.loads(await command("relay-list", "--json"))
    assert (listed["id"], listed["name"]) == (first["id"], "Trà Leng")
    assert listed["revoked_at"]
    assert "revoked" in await command("relay-list")


async def test_the_root_relay_hears_of_revocations_while_it_is_connected(
    central: Central, command: Command
) -> None:
    code = await command("relay-code", "--name", "Trà Leng")
    enrolled = (await enrol(central, code)).json
    school, token = enrolled["id"], enrolled["token"]
    assert (await central.call("GET", "/api/lessons", token)).status == 200
    async with relay(central) as root, asyncio.timeout(10):
        await command("relay-revoke", school)
        assert (await root.heard_of(wire.RelayRevoked)).relays == (school,)
    # And what it may see with its token here ends, too.
    answer = await central.call("GET", "/api/lessons", token)
    assert (answer.status, answer.json["type"]) == (403, "urn:classroom:problem:relay-revoked")
    async with relay(central) as root, asyncio.timeout(10):
        assert (await root.heard_of(wire.RelayRevoked)).relays == (school,)


async def test_a_schools_relay_is_no_root_relay(central: Central, command: Command) -> None:
    code = await command("relay-code", "--name", "Trà Leng")
    enrolled = (await enrol(central, code)).json
    hello = wire.RelayHello("root", "http://school.example:8081", "0.1.0", 400)

    async def told() -> str:
        async with central.socket("/api/relay", enrolled["token"]) as socket:
            await socket.send_bytes(wire.encode(hello))
            frame = await socket.receive(5)
            assert frame.type is aiohttp.WSMsgType.BINARY
            message = wire.decode(frame.data)
            assert isinstance(message, wire.Error)
            return message.code

    assert await told() == "relay-not-root"
    await command("relay-revoke", enrolled["id"])
    assert await told() == "relay-revoked"


async def test_links_lead_to_the_schools_own_relay(central: Central, command: Command) -> None:
    code = await command("relay-code", "--name", "Trà Leng")
    school = (await enrol(central, code, key="mine")).json["id"]
    teacher = central.token(Role.TEACHER)
    lesson = await central.plan(teacher)
    path = f"/api/lessons/{lesson}/links"
    order = {"role": "room", "name": "5A", "school": "Trà Leng"}
    early = await central.call("POST", path, teacher, json=order)
    assert (early.status, early.json["type"]) == (409, "urn:classroom:problem:school-not-here")

    url = "http://192.168.1.9:8081"
    proof = address_proof(key_digest("mine"), school, url)
    node = wire.RelayNode(school, "Trà Leng", url, "0.1.0", 40, "relay-1", proof)
    elsewhere = replace(node, url="http://elsewhere.example")
    async with relay(central) as root:
        # What another relay says of it is shown as it is told, but no link leads there.
        for told in (node, elsewhere):
            for message in told_below(None, {school: told}):
                await root.send(message)
            await below(central, teacher, 1, told.url)
        (listed,) = await below(central, teacher, 1)
        assert (listed["id"], listed["parent"]) == (school, "relay-1")
        link = await central.call("POST", path, teacher, json=order)
        assert link.json["url"].startswith("http://192.168.1.9:8081/room#token=")
        # A room without a school goes to the root relay, and nobody teaches through a school's.
        plain = await central.call("POST", path, teacher, json={"role": "room"})
        assert plain.json["url"].startswith("http://root.example:8081/room#")
        started = await central.call("POST", f"/api/lessons/{lesson}/start", teacher)
        assert started.json["relay"] == "http://root.example:8081"
        unknown = await central.call("POST", path, teacher, json={**order, "school": "Trà Mai"})
        assert unknown.status == 404
        for message in told_below({school: node}, {}):
            await root.send(message)
        await below(central, teacher, 0)
    # Its address is remembered while it is away.
    room = ("link", "room", "--name", "5A", "--school")
    assert (await command(*room, "Trà Leng")).startswith("http://192.168.1.9:8081/room#token=")
    assert "no school" in await command(*room, "Trà Mai", code=1)
    assert "--school" in await command("link", "teacher", "--school", "Trà Leng", code=2)


async def below(
    central: Central, teacher: str, number: int, url: str | None = None
) -> list[dict[str, str]]:
    """The relays below the root relay, once there are so many, all of them at `url` if given."""
    for _ in range(500):
        answer = await central.call("GET", "/api/relays", teacher)
        found: list[dict[str, str]] = answer.json["below"]
        if len(found) == number and all(url in (None, one["url"]) for one in found):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {number}")


async def test_rooms_are_told_with_their_school(central: Central) -> None:
    teacher = central.token(Role.TEACHER)
    lesson = await central.plan(teacher)
    room = wire.RoomRung("room-1", "5A", wire.RungName.FULL, "choice", 1.5, "Trà Leng")
    async with relay(central) as root, central.socket("/api/events", teacher) as page:
        await page.send_bytes(wire.encode(wire.Hello(wire.Page.TEACH, "vi", lesson)))
        await root.send(wire.RelayRooms(lesson, True, (room, replace(room, room="room-2")), ()))
        async with asyncio.timeout(5):
            while True:
                message = wire.decode((await page.receive()).data)
                if isinstance(message, wire.Rooms):
                    break
        assert message.rooms[0] == room


async def test_a_school_enrols_and_renews_through_its_nearest_parent(
    central: Central, command: Command, tmp_path: Path
) -> None:
    code = await command("relay-code", "--name", "Trà Leng")
    signer = Signer(load_key(central.data))
    async with (
        TreeRelay(tmp_path, "root", [central.url], signer=signer) as root,
        TreeRelay(tmp_path, "region", [root.url], signer=signer) as region,
    ):
        url = f"{region.url}/api/relays/enrol"
        async with central.http.get(f"{region.url}/api/keys") as answer:
            assert await answer.json() == signer.jwks()
        async with central.http.post(url, json={"code": code, "key": "mine"}) as answer:
            assert answer.status == 200
            school = await answer.json()
        assert school["name"] == "Trà Leng"
        headers = {"Authorization": f"Bearer {school['token']}"}
        async with central.http.post(f"{region.url}/api/relays/renew", headers=headers) as answer:
            assert (await answer.json())["id"] == school["id"]
        # Refusals come down as they are, and strangers cannot make the region ask for ever.
        async with central.http.post(url, json={"code": code, "key": "other"}) as answer:
            assert (await answer.json())["type"] == "urn:classroom:problem:code-used"
        for _ in range(9):
            async with central.http.post(url, json={"code": "BBBBB-BBBBB"}) as answer:
                assert answer.status == 403
        async with central.http.post(url, json={"code": "BBBBB-BBBBB"}) as answer:
            assert answer.status == 429
        async with central.http.post(f"{region.url}/api/relays/renew") as answer:
            assert answer.status == 401
        async with central.http.post(url, data=b"x" * 5_000) as answer:
            assert answer.status == 415
    # A region whose own way up is gone says so, and that asking again makes sense.
    async with (
        TreeRelay(tmp_path, "lonely", ["http://127.0.0.1:9"], signer=signer) as lonely,
        central.http.post(f"{lonely.url}/api/relays/enrol", json={"code": code}) as answer,
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"]
