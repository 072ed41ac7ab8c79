"""SDP fragments: a restart is told from a trickle, rubbish from both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.transport.answer import Local
from relay.transport.ice import Credentials
from relay.transport.trickle import MAX_FRAGMENT_BYTES, read_fragment, write_fragment
from tests.relay.fuzzing import FUZZ

# As RFC 9725 §4.3.2 shows it, in our words.
FRAGMENT = (
    "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n"
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n"
    "a=end-of-candidates\r\n"
)


def test_the_credentials_of_a_fragment_are_read() -> None:
    assert read_fragment(FRAGMENT) == Credentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert read_fragment(FRAGMENT.replace("\r\n", "\n")) == read_fragment(FRAGMENT)


def test_candidates_alone_are_no_restart() -> None:
    assert read_fragment("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n") is None
    assert read_fragment("") is None


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("a=ice-ufrag:EsAw\r\n", "sdp-ice", "a=ice-pwd"),
        ("a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "sdp-ice", "a=ice-pwd"),
        ("a=ice-ufrag:E A\r\n", "sdp-ice", "a=ice-ufrag"),
        ("a=ice-pwd:short\r\n", "sdp-ice", "a=ice-pwd"),
        ("rubbish", "sdp-malformed", "sdpfrag"),
        ("a=x\r\n" * MAX_FRAGMENT_BYTES, "sdp-too-large", "sdpfrag"),
    ],
)
def test_each_fault_is_named(text: str, code: str, field: str) -> None:
    with pytest.raises(Refused) as caught:
        read_fragment(text)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, code, field)


def test_our_fragment_names_its_section_and_can_be_read() -> None:
    credentials = Credentials("AbCdEfGh", "x" * 24)
    text = write_fragment(Local(credentials, "", ("192.0.2.1",), 8082, False), "audio", "0")
    assert read_fragment(text) == credentials
    lines = text.split("\r\n")
    # RFC 8840 §9: what belongs to a section stands below its m= and a=mid lines.
    assert lines.index("a=mid:0") < lines.index("a=ice-ufrag:AbCdEfGh")
    assert lines[0] == "a=ice-lite"
    assert sum(line.startswith("a=candidate") for line in lines) == 1


@FUZZ
@given(st.text(max_size=200) | st.lists(st.sampled_from(FRAGMENT.split("\r\n"))).map("\r\n".join))
def test_only_refusals_leave_the_reader(text: str) -> None:
    try:
        found = read_fragment(text)
    except Refused:
        return
    assert found is None or len(found.password) >= 22
