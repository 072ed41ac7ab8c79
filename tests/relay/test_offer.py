"""Offers turned into tracks, slots and answers, held against offers of real clients.

An answer is read back with our own parser and, for browsers' offers, with aiortc's.
"""

from __future__ import annotations

import re

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given

from classroom.errors import Refused
from relay.media import rtp
from relay.media.codec import can_forward
from relay.sfu.router import Router
from relay.transport import offer, sdp
from relay.transport.answer import Local, candidate_lines, write_answer
from relay.transport.ice import Credentials
from tests.fakes.lesson_viewer import FakeWire
from tests.fakes.lesson_wire import FakeFanOut, FakeFeed
from tests.relay.fuzzing import FUZZ
from tests.relay.offers import (
    AIORTC,
    FFMPEG,
    GSTREAMER,
    OBS,
    OFFERS,
    PLAYER,
    ROOM,
    TEACHER,
    replaced,
    without,
)
from tests.relay.test_sdp import mutated

FINGERPRINT = ":".join(["AB"] * 32)
LOCAL = Local(Credentials("LocalUfr", "L" * 24), FINGERPRINT, ("192.0.2.1",), 8082, False)


def publish(text: str) -> list[offer.Accepted]:
    return offer.accept_publisher(sdp.parse(text))


def watch(text: str) -> list[offer.Accepted]:
    return offer.accept_viewer(sdp.parse(text), "physics-9")


def remote(text: str) -> offer.Remote:
    return offer.remote_side(sdp.parse(text))


def answered(text: str, accepted: list[offer.Accepted]) -> str:
    return write_answer(accepted, sdp.parse(text).bundle, LOCAL, 7, "physics-9")


def refused(text: str, *, viewer: bool = False) -> Refused:
    def take() -> None:
        (watch if viewer else publish)(text)
        remote(text)

    with pytest.raises(Refused) as caught:
        take()
    return caught.value


def section_lines(answer: str, index: int) -> list[str]:
    return re.split(r"(?m)^(?=m=)", answer)[index + 1].split("\r\n")


def test_a_teachers_page_publishes_voice_camera_and_screen() -> None:
    tracks = [one.track for one in publish(OFFERS[TEACHER])]
    assert [track and track.source for track in tracks] == ["voice", "camera", "screen"]
    voice, camera, screen = tracks
    assert voice is not None
    assert camera is not None
    assert screen is not None
    assert voice.red == {63: 111}
    assert camera.rids == ("q", "h", "f")
    assert screen.rids == ("h", "f")
    assert camera.nack
    assert camera.pli
    assert camera.rtx[99] == 98
    assert {camera.codecs[98].name, camera.codecs[102].name} == {"vp9", "h264"}
    assert set(camera.extensions) >= {rtp.TRANSPORT_CC, rtp.MID, rtp.RID, rtp.REPAIRED_RID}


@pytest.mark.parametrize(
    ("client", "sources", "codecs", "active"),
    [
        (AIORTC, ["voice", "camera"], {"opus", "vp8", "h264"}, True),
        (FFMPEG, ["voice", "camera"], {"opus", "h264"}, False),
        (OBS, ["voice", "camera"], {"opus", "h264"}, True),
        (GSTREAMER, ["camera", "voice"], {"opus", "vp8"}, True),
    ],
)
def test_other_clients_publish(
    client: str, sources: list[str], codecs: set[str], active: bool
) -> None:
    tracks = [one.track for one in publish(OFFERS[client]) if one.track is not None]
    assert [track.source for track in tracks] == sources
    assert {codec.name for track in tracks for codec in track.codecs.values()} == codecs
    assert all(len(track.ssrcs) == 1 for track in tracks)
    assert remote(OFFERS[client]).active is active


def test_declared_repair_streams_are_no_media() -> None:
    camera = publish(OFFERS[FFMPEG])[1].track
    assert camera is not None
    assert camera.ssrcs == (2059122970,)
    assert camera.repairs == {2059122971: 2059122970}


def test_plain_baseline_is_taken_for_what_encoders_make_of_it() -> None:
    camera = publish(OFFERS[FFMPEG])[1]
    assert camera.track is not None
    player = next(one.slot for one in watch(OFFERS[AIORTC]) if one.slot and one.section.mid == "1")
    [sent] = camera.track.codecs.values()
    constrained = [one.codec for one in player.codecs if one.codec.name == "h264"]
    assert all(can_forward(sent, codec) for codec in constrained)
    assert len(constrained) == 2
    assert "profile-level-id=42000d" in answered(OFFERS[FFMPEG], publish(OFFERS[FFMPEG]))


def test_a_room_has_every_slot_and_two_places_to_send_from() -> None:
    accepted = watch(OFFERS[ROOM])
    names = [one.slot.slot if one.slot else "" for one in accepted]
    assert names == ["voice", "camera", "screen", "talk-voice", "talk-camera", "", ""]
    assert [one.direction for one in accepted] == ["sendonly"] * 5 + ["recvonly"] * 2
    ssrcs = [ssrc for one in accepted if one.slot for ssrc in (one.slot.ssrc, one.slot.rtx_ssrc)]
    assert len(set(ssrcs)) == 10
    again = [one.slot.ssrc for one in watch(OFFERS[ROOM]) if one.slot]
    assert again == ssrcs[::2]


def test_a_room_takes_red_and_flexfec_and_the_playout_delay() -> None:
    accepted = watch(OFFERS[ROOM])
    slots = {one.slot.slot: one.slot for one in accepted if one.slot}
    assert [(one.payload_type, one.red) for one in slots["voice"].codecs] == [(111, 63)]
    assert slots["voice"].fec is None
    assert rtp.PLAYOUT_DELAY not in slots["voice"].extensions
    camera, screen = slots["camera"], slots["screen"]
    assert camera.extensions[rtp.PLAYOUT_DELAY] == 5
    assert camera.fec is not None
    assert screen.fec is not None
    assert camera.fec.payload_type == 49
    ssrcs = {ssrc for one in (camera, screen) for ssrc in (one.ssrc, one.rtx_ssrc)}
    assert len(ssrcs | {camera.fec.ssrc, screen.fec.ssrc}) == 6
    lines = section_lines(answered(OFFERS[ROOM], accepted), 1)
    assert f"a=ssrc-group:FEC-FR {camera.ssrc} {camera.fec.ssrc}" in lines
    assert f"a=ssrc:{camera.fec.ssrc} cname:physics-9" in lines
    assert "a=rtpmap:49 flexfec-03/90000" in lines
    assert "a=fmtp:49 repair-window=10000000" in lines
    voice = section_lines(answered(OFFERS[ROOM], accepted), 0)
    assert "a=fmtp:63 111/111" in voice


def test_who_offers_no_repairs_is_promised_none() -> None:
    text = without(without(OFFERS[ROOM], "a=rtpmap:49 "), "a=rtpmap:63 ")
    accepted = watch(text)
    for one in accepted:
        if one.slot is not None:
            assert one.slot.fec is None
            assert all(entry.red is None for entry in one.slot.codecs)
    answer = answered(text, accepted)
    assert "FEC-FR" not in answer
    assert "flexfec" not in answer
    # To a teacher, whose repairs the relay has by asking again, none is promised either.
    assert "flexfec" not in answered(OFFERS[TEACHER], publish(OFFERS[TEACHER]))


def test_a_stock_player_gets_the_voice_and_the_programme() -> None:
    accepted = watch(OFFERS[PLAYER])
    assert [one.slot.slot for one in accepted if one.slot] == ["programme", "voice"]


@pytest.mark.parametrize("client", sorted(OFFERS))
def test_every_answer_fits_its_offer(client: str) -> None:
    text = OFFERS[client]
    accepted = watch(text) if client in (ROOM, PLAYER) else publish(text)
    answer = answered(text, accepted)
    ours, theirs = sdp.parse(answer), sdp.parse(text)
    assert ours.ice_lite
    assert [one.mid for one in ours.sections] == [one.mid for one in theirs.sections]
    assert ours.bundle == theirs.bundle
    for mine, yours in zip(ours.sections, theirs.sections, strict=True):
        assert mine.kind == yours.kind
        assert set(mine.formats) <= set(yours.formats)
        assert set(mine.extensions.items()) <= set(yours.extensions.items())
        assert mine.setup == "passive"
        assert mine.rtcp_mux
        assert mine.rtcp_rsize == yours.rtcp_rsize
        assert (mine.ice_ufrag, mine.ice_password) == ("LocalUfr", "L" * 24)
        for number, codec in mine.maps.items():
            assert codec.name == yours.maps[number].name
            assert set(codec.feedback) <= set(yours.maps[number].feedback)
    parsed = SessionDescription.parse(answer)
    candidates = [len(media.ice_candidates) for media in parsed.media]
    assert sorted(candidates) == [0] * (len(candidates) - 1) + [1]


def test_simulcast_is_answered() -> None:
    answer = answered(OFFERS[TEACHER], publish(OFFERS[TEACHER]))
    lines = section_lines(answer, 1)
    assert "a=simulcast:recv q;h;f" in lines
    assert [line for line in lines if line.startswith("a=rid")] == [
        "a=rid:q recv",
        "a=rid:h recv",
        "a=rid:f recv",
    ]


def test_an_offer_without_a_group_is_answered_without_one() -> None:
    text = without(without(OFFERS[OBS], "a=group"), "a=mid")
    text = text[: text.index("m=video")]
    answer = answered(text, publish(text))
    assert "a=group" not in answer
    assert "a=mid" not in answer
    assert "a=candidate" in answer


def test_the_offers_first_of_the_group_carries_the_transport() -> None:
    text = replaced(OFFERS[GSTREAMER], "BUNDLE video0 audio1", "BUNDLE audio1 video0")
    answer = answered(text, publish(text))
    assert "a=group:BUNDLE audio1 video0" in answer
    assert any(line.startswith("a=candidate") for line in section_lines(answer, 1))
    assert not any(line.startswith("a=candidate") for line in section_lines(answer, 0))


def test_a_section_that_is_off_or_unknown_is_rejected_in_its_place() -> None:
    text = OFFERS[TEACHER]
    at = text.rindex("m=video 9")
    text = text[:at] + text[at:].replace("m=video 9", "m=video 0", 1)
    text = replaced(text, "BUNDLE 0 1 2", "BUNDLE 0 1 2 d")
    text += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n"
    accepted = publish(text)
    assert [one.track and one.track.source for one in accepted] == ["voice", "camera", None, None]
    answer = answered(text, accepted)
    assert "a=group:BUNDLE 0 1\r\n" in answer
    assert section_lines(answer, 2)[0].startswith("m=video 0 ")
    assert section_lines(answer, 3)[0] == "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"


def test_numbers_that_look_like_rtcp_are_not_taken() -> None:
    text = replaced(OFFERS[OBS], " 96\r\n", " 72\r\n").replace(":96 ", ":72 ")
    assert [one.track and one.track.source for one in publish(text)] == ["voice", None]


@pytest.mark.parametrize(
    ("text", "status", "code", "field"),
    [
        (without(OFFERS[OBS], "a=ice-ufrag"), 400, "sdp-ice", "a=ice-ufrag"),
        (without(OFFERS[OBS], "a=ice-pwd"), 400, "sdp-ice", "a=ice-ufrag"),
        (without(OFFERS[OBS], "a=fingerprint"), 400, "sdp-fingerprint", "a=fingerprint"),
        (
            re.sub(r"sha-256 \S+", "sha-1 AA:BB", OFFERS[OBS]),
            400,
            "sdp-fingerprint",
            "a=fingerprint",
        ),
        (without(OFFERS[OBS], "a=setup"), 400, "sdp-setup", "a=setup"),
        (replaced(OFFERS[OBS], "actpass", "holdconn"), 400, "sdp-setup", "a=setup"),
        (without(OFFERS[OBS], "a=rtcp-mux"), 400, "sdp-rtcp-mux", "a=rtcp-mux"),
        (without(OFFERS[OBS], "a=group:BUNDLE"), 400, "sdp-bundle", "a=group:BUNDLE"),
        (replaced(OFFERS[OBS], "BUNDLE 0 1", "BUNDLE 8 9"), 400, "sdp-no-media", "m="),
        (
            replaced(OFFERS[TEACHER], "a=rid:q ", "a=rid:1 send\r\na=rid:2 send\r\na=rid:q "),
            400,
            "sdp-simulcast",
            "a=rid",
        ),
        (replaced(OFFERS[OBS], "t=0 0", "t=0 0\r\na=ice-lite"), 422, "ice-lite-peer", "a=ice-lite"),
        (
            OFFERS[OBS].replace("opus", "speex").replace("H264", "H263"),
            422,
            "unsupported-codecs",
            "a=rtpmap",
        ),
        (OFFERS[PLAYER], 422, "sdp-direction", "a=sendonly"),
    ],
)
def test_each_unfit_offer_is_refused_by_name(text: str, status: int, code: str, field: str) -> None:
    error = refused(text)
    assert (error.status, error.code, error.field) == (status, code, field)
    assert error.fix


def test_a_teacher_at_the_rooms_address_is_told_the_right_one() -> None:
    error = refused(OFFERS[TEACHER], viewer=True)
    assert (error.code, error.field) == ("sdp-direction", "a=recvonly")
    assert "/whip/" in error.fix


def test_a_long_list_of_codecs_makes_no_long_sentence() -> None:
    numbers = [number for number in range(128) if not 64 <= number < 96]
    maps = "".join(f"a=rtpmap:{number} {'x' * 300}{number}/8000\r\n" for number in numbers)
    text = without(OFFERS[OBS][: OFFERS[OBS].index("m=video")], "a=rtpmap").replace("0 1", "0")
    assert len(refused(text + maps).detail) < 400


def test_the_best_address_comes_first() -> None:
    addresses = ("192.0.2.1", "2001:db8::1")
    lines = candidate_lines(Local(LOCAL.credentials, "", addresses, 1, False))
    priorities = [int(line.split(" ")[3]) for line in lines[:2]]
    assert priorities[0] > priorities[1]
    assert lines[2:] == ["a=end-of-candidates"]


def test_every_address_comes_over_udp_before_any_over_tcp() -> None:
    addresses = ("192.0.2.1", "2001:db8::1")
    lines = candidate_lines(Local(LOCAL.credentials, "", addresses, 1, False, 2))
    rows = [line.removeprefix("a=candidate:").split(" ") for line in lines[:-1]]
    assert [row[2] for row in rows] == ["udp", "udp", "tcp", "tcp"]
    priorities = [int(row[3]) for row in rows]
    assert priorities == sorted(priorities, reverse=True)
    assert len(set(priorities)) == len({row[0] for row in rows}) == 4
    # RFC 6544 §4.5
    assert rows[2][4:] == ["192.0.2.1", "2", "typ", "host", "tcptype", "passive"]


@FUZZ
@given(mutated())
def test_only_refusals_leave_offer_and_answer(text: str) -> None:
    statuses: set[int] = set()
    for accept in (publish, watch):
        try:
            accepted = accept(text)
            remote(text)
        except Refused as error:
            statuses.add(error.status)
            continue
        sdp.parse(answered(text, accepted))
    assert statuses <= {400, 413, 422}


def test_a_section_that_is_only_bundled_needs_no_word_about_rtcp() -> None:
    text = OFFERS[ROOM]
    head, first, *rest = text.split("m=")
    silent = [without("m=" + one, "a=rtcp-mux") for one in rest]
    assert refused("m=".join((head, first)) + "".join(silent), viewer=True).code == "sdp-rtcp-mux"
    kind, _, tail = silent[-1].split(" ", 2)
    line, others = tail.split("\r\n", 1)
    silent[-1] = f"{kind} 0 {line}\r\na=bundle-only\r\n{others}"
    kept = ["m=" + one for one in rest[:-1]]
    changed = "m=".join((head, first)) + "".join([*kept, silent[-1]])
    assert remote(changed) == remote(text)


def test_a_space_too_many_in_a_group_does_no_harm() -> None:
    text = OFFERS[ROOM]
    group = next(line for line in text.split("\r\n") if line.startswith("a=group:BUNDLE"))
    assert sdp.parse(replaced(text, group, group + " ")).bundle == sdp.parse(text).bundle
    assert sdp.parse(replaced(text, group, "a=group")).bundle == []


def test_simulcast_without_names_has_a_layer_for_each_stream() -> None:
    head, camera = OFFERS[FFMPEG].rsplit("m=video", 1)
    lines = "".join(f"a=ssrc:{ssrc} cname:x\r\n" for ssrc in (11, 12, 13, 21, 22, 23))
    pairs = "".join(f"a=ssrc-group:FID {n} {n + 10}\r\n" for n in (11, 12, 13))
    plain = "".join(
        line for line in camera.splitlines(True) if not line.startswith(("a=ssrc", "a=msid"))
    )
    text = f"{head}m=video{plain}a=ssrc-group:SIM 11 12 13\r\n{pairs}{lines}"
    (track,) = [one.track for one in publish(text) if one.track and one.track.kind == "video"]
    assert (track.rids, track.ssrcs) == (("1", "2", "3"), (11, 12, 13))
    assert "a=rid" not in answered(text, publish(text))
    assert "simulcast" not in answered(text, publish(text))

    router: Router[FakeWire] = Router("toan-7", FakeFanOut(), FakeFeed(), beat=8.0, now=0.0)
    publisher = router.publish("teacher", "ms-lan", [track], 0.0)
    (payload_type, codec), *_ = track.codecs.items()
    assert codec.name == "h264"
    for number in range(120):
        now = number / 30
        for ssrc in (11, 12, 13):
            # A link that became narrow: the largest is left out.
            if ssrc != 13 or now < 1.0:
                data = rtp.build(payload_type, True, number, 3_000 * number, ssrc, b"", b"\x65" * 9)
                router.receive_rtp(data, now)
    assert [(one.ssrc, one.rid) for one in publisher.layers] == [(11, "1"), (12, "2"), (13, "3")]
    assert [one.rate.is_active(4.0) for one in publisher.layers] == [True, True, False]
