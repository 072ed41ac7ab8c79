"""Reading descriptions: what real clients write is understood, all else is refused by name.

Whatever bytes come, only Refused may leave the parser, and in bounded time.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.transport import sdp
from tests.relay.fuzzing import FUZZ
from tests.relay.offers import AIORTC, FFMPEG, GSTREAMER, OBS, OFFERS, ROOM, TEACHER, replaced

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


def refused(text: str) -> Refused:
    with pytest.raises(Refused) as caught:
        sdp.parse(text)
    return caught.value


def test_a_teachers_sections_are_read() -> None:
    voice, camera, screen = sdp.parse(OFFERS[TEACHER]).sections
    assert (voice.kind, voice.mid, voice.direction) == ("audio", "0", "sendonly")
    assert voice.maps[63].fmtp == {"": "111/111"}
    assert voice.maps[111].channels == 2
    assert camera.rids == ["q", "h", "f"]
    assert screen.rids == ["h", "f"]
    assert camera.maps[98].name == "vp9"
    assert "nack pli" in camera.maps[98].feedback
    assert camera.fingerprints[0][0] == "sha-256"
    assert camera.rtcp_mux
    assert camera.rtcp_rsize
    assert camera.sends
    assert not camera.receives


def test_a_rooms_seven_sections_are_one_bundle() -> None:
    description = sdp.parse(OFFERS[ROOM])
    assert description.bundle == [str(number) for number in range(7)]
    assert [one.direction for one in description.sections] == ["recvonly"] * 5 + ["sendonly"] * 2


def test_what_stands_above_the_sections_holds_for_all() -> None:
    voice, camera = sdp.parse(OFFERS[OBS]).sections
    assert voice.ice_ufrag == camera.ice_ufrag == "pKkO"
    assert voice.fingerprints == camera.fingerprints
    assert voice.setup == "actpass"
    text = HEAD + "a=sendonly\r\n" + AUDIO + AUDIO + "a=inactive\r\n"
    assert [one.direction for one in sdp.parse(text).sections] == ["sendonly", "inactive"]
    assert sdp.parse(HEAD + AUDIO).sections[0].direction == "sendrecv"


def test_a_section_without_a_port_of_its_own_is_known() -> None:
    camera, voice = sdp.parse(OFFERS[GSTREAMER]).sections
    assert (voice.port, voice.bundle_only) == (0, True)
    assert not camera.bundle_only


def test_repair_streams_are_paired() -> None:
    camera = sdp.parse(OFFERS[FFMPEG]).sections[1]
    assert camera.fid_groups == [(2059122970, 2059122971)]
    assert sdp.parse(OFFERS[AIORTC]).sections[1].ssrcs


def test_parameters_may_stand_above_their_codec() -> None:
    text = HEAD + AUDIO + "a=fmtp:111 useinbandfec=1\r\na=rtcp-fb:* nack\r\n"
    codec = sdp.parse(text + "a=rtpmap:111 opus/48000/2\r\n").sections[0].maps[111]
    assert codec.fmtp == {"useinbandfec": "1"}
    assert codec.feedback == ["nack"]


def test_repeated_layers_and_feedback_count_once() -> None:
    text = HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
    text += "a=rid:q send\r\n" * 3 + "a=rtcp-fb:96 nack\r\n" * 3
    section = sdp.parse(text).sections[0]
    assert section.rids == ["q"]
    assert section.maps[96].feedback == ["nack"]


def test_wishes_that_nobody_knows_are_not_even_compared() -> None:
    text = HEAD + "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"
    text += "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n"
    text += "".join(f"a=rtcp-fb:* wish{number}\r\n" for number in range(1_800))
    section = sdp.parse(text + "a=rtcp-fb:* nack pli\r\n" * 2).sections[0]
    assert section.feedback == {("*", "nack pli")}
    assert [codec.feedback for codec in section.maps.values()] == [["nack pli"]] * 2


@pytest.mark.parametrize(
    ("lines", "code", "field"),
    [
        ("m=audio\r\n", "sdp-malformed", "m="),
        ("m=audio 99999 UDP/TLS/RTP/SAVPF 0\r\n", "sdp-malformed", "m="),
        ("m=audio ² UDP/TLS/RTP/SAVPF 0\r\n", "sdp-malformed", "m="),
        (f"m=audio 9 UDP/TLS/RTP/SAVPF{' 1' * 200}\r\n", "sdp-malformed", "m="),
        (AUDIO * 17, "sdp-too-many-sections", "m="),
        ("", "sdp-no-media", "m="),
        (AUDIO + "rubbish\r\n", "sdp-malformed", "line 6"),
        (AUDIO + "a=rtpmap:128 opus/48000\r\n", "sdp-malformed", "a=rtpmap"),
        (AUDIO + "a=rtpmap:111 opus\r\n", "sdp-malformed", "a=rtpmap"),
        (AUDIO + "a=fmtp:x y\r\n", "sdp-malformed", "a=fmtp"),
        (AUDIO + "a=rtcp-fb:300 nack\r\n", "sdp-malformed", "a=rtcp-fb"),
        (AUDIO + "a=extmap:0 urn:x\r\n", "sdp-malformed", "a=extmap"),
        (AUDIO + "a=extmap:1\r\n", "sdp-malformed", "a=extmap"),
        (AUDIO + "a=rid:q\r\n", "sdp-malformed", "a=rid"),
        (AUDIO + "a=rid:q~ recv\r\na=rid:\x7f send\r\n", "sdp-malformed", "a=rid"),
        (AUDIO + "a=ssrc:4294967296 cname:x\r\n", "sdp-malformed", "a=ssrc"),
        (AUDIO + "a=ssrc-group:FID 1 x\r\n", "sdp-malformed", "a=ssrc-group"),
        (AUDIO + "a=ssrc-group:SIM 1 2 -3\r\n", "sdp-malformed", "a=ssrc-group"),
        (AUDIO + "a=mid:a b\r\n", "sdp-malformed", "a=mid"),
        (AUDIO + "a=ice-ufrag:abc\r\n", "sdp-ice", "a=ice-ufrag"),
        (AUDIO + "a=ice-ufrag:ab:cd\r\n", "sdp-ice", "a=ice-ufrag"),
        (AUDIO + "a=ice-pwd:short\r\n", "sdp-ice", "a=ice-pwd"),
        (AUDIO + "a=fingerprint:sha-256 AA:BB\r\n", "sdp-fingerprint", "a=fingerprint"),
        (AUDIO + "a=x\ry\r\n", "sdp-malformed", "sdp"),
        (AUDIO + "a=x\0y\r\n", "sdp-malformed", "sdp"),
        (AUDIO + "a=x\r\n" * 2_000, "sdp-too-long", "sdp"),
    ],
)
def test_each_fault_is_named(lines: str, code: str, field: str) -> None:
    error = refused(HEAD + lines)
    assert (error.status, error.code, error.field) == (400, code, field)
    assert error.fix


def test_a_body_that_is_no_sdp_is_told_so() -> None:
    for text in ("", "\n\n", "<html>", "V=0\r\n", '{"sdp": "v=0"}'):
        assert refused(text).code == "sdp-malformed"


def test_a_body_above_the_limit_is_refused_by_size() -> None:
    error = refused(replaced(OFFERS[TEACHER], "s=-", "s=" + "é" * (sdp.MAX_SDP_BYTES // 2)))
    assert (error.status, error.code) == (413, "sdp-too-large")


offers = st.sampled_from(sorted(OFFERS.values()))
ATTRIBUTES = ("mid", "rtpmap", "fmtp", "rtcp-fb", "extmap", "rid", "ssrc", "ssrc-group", "group")


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A real offer with a few lines doubled, dropped, swapped, cut or spoilt."""
    lines = draw(offers).split("\r\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case 3:
                lines[at] += draw(st.text(max_size=8))
            case 4:
                name = draw(st.sampled_from(ATTRIBUTES))
                lines[at] = f"a={name}:{draw(st.text(max_size=20))}"
            case _:
                middle = draw(st.integers(0, len(lines[at])))
                spoilt = draw(st.sampled_from("²٣ \t\0\r=:/;,~-\U0001f600"))
                lines[at] = lines[at][:middle] + spoilt + lines[at][middle:]
    return "\r\n".join(lines)


@FUZZ
@given(mutated() | st.text(max_size=300) | st.text(max_size=200).map(lambda text: HEAD + text))
def test_only_refusals_leave_the_parser(text: str) -> None:
    try:
        description = sdp.parse(text)
    except Refused:
        return
    assert 0 < len(description.sections) <= sdp.MAX_SECTIONS
