"""A room whose network goes away and comes back as another one, in the kernel's own networks.

The room's cable is pulled out for eight seconds and plugged in with another address, as when a
school's modem restarts. Then that network lets no UDP through. Nobody touches the page: the session
that the room had goes on.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from playwright.async_api import Page, Response, async_playwright

from tests import needs
from tests.live import networks
from tests.live.rig import Demo, chromium, start_demo, state, stats, until

# Beside the seconds until the page notices.
AWAY_S = 5.0


async def _received(page: Page, kind: str, field: str) -> int:
    entries = [entry for entry in await stats(page, "inbound-rtp") if entry["kind"] == kind]
    return sum(int(entry.get(field, 0)) for entry in entries)


async def _comes(page: Page, kind: str, field: str, count: int) -> bool:
    """Whether `field` grows by more than `count` while one may wait for it."""
    before = await _received(page, kind, field)
    for _ in range(100):
        if await _received(page, kind, field) - before > count:
            return True
        await asyncio.sleep(0.1)
    return False


def _viewer_sessions(demo: Demo) -> int:
    """How many viewers' sessions the relay has begun, by its log."""
    lines = [line for line in demo.log.read_text().splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    return sum(
        event.get("event") == "session-begins" and event.get("role") == "viewer" for event in events
    )


def _to(method: str, answers: list[Response]) -> list[Response]:
    return [answer for answer in answers if answer.request.method == method]


async def _beginning(page: Page) -> str:
    """The page's own half of the ICE credentials in force."""
    (transport,) = await stats(page, "transport")
    return str(transport["iceLocalUsernameFragment"])


async def _protocol(page: Page) -> str:
    """What the pair in use goes over: "udp" or "tcp"."""
    (transport,) = await stats(page, "transport")
    pairs = {entry["id"]: entry for entry in await stats(page, "candidate-pair")}
    remotes = {entry["id"]: entry for entry in await stats(page, "remote-candidate")}
    pair = pairs.get(transport.get("selectedCandidatePairId", ""), {})
    return str(remotes.get(pair.get("remoteCandidateId", ""), {}).get("protocol", ""))


async def test_a_room_with_a_new_address_goes_on_in_its_session(tmp_path: Path) -> None:
    program = needs.find(needs.CHROMIUM)
    assert program is not None
    async with networks.cable() as cable, async_playwright() as playwright:
        demo = await start_demo(tmp_path / "data", host=True, enter=cable.servers.enter)
        inside = cable.room.program(program, tmp_path)
        try:
            async with chromium(playwright, program=inside) as browser:
                page = await (await browser.new_context()).new_page()
                answers: list[Response] = []
                # Playwright marks the function it is given, which a built-in one does not take.
                page.on("response", lambda answer: answers.append(answer))
                await page.goto(demo.pages["room"].replace("127.0.0.1", networks.SERVERS))
                await until(page, stage="watching", session="live")
                begun = await _beginning(page)

                await cable.pull_out()
                await until(page, stage="reconnecting", session="recovering")
                await asyncio.sleep(AWAY_S)
                assert _to("PATCH", answers) == []
                await cable.plug_in("10.90.7.7")
                await until(page, patience=10, stage="watching", session="live")

                # ICE began anew, and nobody had to be told: where the relay was asked at all, it
                # was whether it still knew the session that was made at first.
                assert await _beginning(page) != begun
                assert {answer.status for answer in _to("PATCH", answers)} <= {204}
                await until(page, stage="watching", session="live", generation=1)
                assert await _comes(page, "audio", "packetsReceived", 75)
                # What was lost around the cut was asked for again, the voice too.
                assert await _received(page, "audio", "nackCount") > 0
                # A picture that the relay left out while it felt its way comes with the beat.
                assert await _comes(page, "video", "framesDecoded", 15)
                assert (await state(page))["generation"] == 1

                # A network that lets no UDP through any more: the lesson goes on over TCP.
                for network in (cable.servers, cable.room):
                    await network.run(
                        networks.ip_program(), "rule", "add", "ipproto", "udp", "blackhole"
                    )
                for _ in range(100):
                    if await _protocol(page) == "tcp":
                        break
                    await asyncio.sleep(0.1)
                assert await _comes(page, "audio", "packetsReceived", 75)
                assert await _protocol(page) == "tcp"
                await until(page, stage="watching", session="live", generation=1)
                assert len(_to("POST", answers)) == 1
                assert _viewer_sessions(demo) == 1
        finally:
            await demo.stop()
