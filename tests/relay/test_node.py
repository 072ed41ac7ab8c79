"""What a node tells of itself before it starts anything."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

import pytest

from relay.node import Node
from relay.settings import MediaSettings, RelaySettings


@pytest.mark.parametrize(
    ("host", "local"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::", "::1")],
)
async def test_this_machine_reaches_it_without_its_public_name(host: str, local: str) -> None:
    settings = RelaySettings(
        host=host,
        port=0,
        public_url="https://truong.example/",
        media=MediaSettings(udp_host="127.0.0.1", udp_port=0),
    )
    with closing(Node(settings, lambda url, udp_port: None)) as node:
        assert node.url == "https://truong.example"
        assert urlsplit(node.local_url).scheme == "http"
        assert urlsplit(node.local_url).hostname == local
