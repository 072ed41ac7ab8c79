"""Where the relay's `/teach` leads: to the control plane, under a name that the browser can use."""

from __future__ import annotations

import pytest

from relay.web.pages import teaching_url


@pytest.mark.parametrize(
    ("central", "host", "leads_to"),
    [
        ("https://school.example", "10.0.0.5", "https://school.example/teach"),
        ("https://school.example/", "localhost", "https://school.example/teach"),
        # On one machine: the name by which the browser found this relay is good for both.
        ("http://127.0.0.1:8080", "10.0.0.5", "http://10.0.0.5:8080/teach"),
        ("http://localhost:8080", "relay.lan", "http://relay.lan:8080/teach"),
        ("http://[::1]:8080", "fd00::5", "http://[fd00::5]:8080/teach"),
        ("http://localhost:8080", "127.0.0.1", "http://localhost:8080/teach"),
        ("http://localhost", "10.0.0.5", "http://10.0.0.5/teach"),
        ("http://127.0.0.1:8080", "", "http://127.0.0.1:8080/teach"),
    ],
)
def test_the_teaching_page_is_at_the_control_plane(central: str, host: str, leads_to: str) -> None:
    assert teaching_url(central, host) == leads_to
