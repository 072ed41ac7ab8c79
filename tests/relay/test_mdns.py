"""The library's name on the network: asked for by another responder, over loopback."""

from __future__ import annotations

import asyncio

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from relay.settings import RelaySettings, ReplaySettings
from relay.web.lan import Lan, Ports
from relay.web.mdns import KIND, Announcer, host_label
from tests.eventually import eventually


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Trường Nà Hỳ", "thuvien-truong-na-hy"),
        ("root", "thuvien-root"),
        ("--", "thuvien"),
        ("ê" * 60, "thuvien-" + "e" * 55),
    ],
)
def test_a_name_becomes_a_label(name: str, label: str) -> None:
    assert host_label(name) == label


async def test_the_name_is_answered_for_and_taken_back() -> None:
    lan = Lan(RelaySettings(replay=ReplaySettings(visitors="on")), is_published=lambda one: True)
    lan.ports = Ports(8081)
    announcing = asyncio.ensure_future(Announcer(lan, "Nà Hỳ", lambda: ["127.0.0.1"]).run())
    asker = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        info = AsyncServiceInfo(KIND, f"thuvien-na-hy.{KIND}")
        assert await info.async_request(asker.zeroconf, 5_000)
        assert (info.server, info.port) == ("thuvien-na-hy.local.", 8081)
        assert info.parsed_addresses() == ["127.0.0.1"]
        await eventually(lambda: lan.host_name == "thuvien-na-hy.local")
    finally:
        announcing.cancel()
        await asyncio.wait((announcing,))
        await asker.async_close()
    assert lan.host_name is None
