"""Master playlists: what a player is offered that says what it plays, or does not. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from classroom.archive.extras import Captions, Extras
from classroom.archive.manifest import Manifest, RenditionManifest
from relay.record import hls, hls_master
from relay.record.cmaf_read import scan
from relay.record.fill import fill
from relay.record.hls_master import Wish, captions_playlist, master, with_copies
from tests.relay.test_hls import GOLDEN, HEX, VOICE, entries, lesson, rendition


def of(codec: str, *renditions: RenditionManifest) -> list[RenditionManifest]:
    return [
        replace(one, inits=tuple(replace(init, codec=codec) for init in one.inits))
        for one in renditions
    ]


BEATS = tuple((n * 8, n * 8 + 8, 0, 0) for n in range(5))
VP9 = of("vp09.00.30.08", rendition("camera-f", *BEATS), rendition("camera-q", *BEATS))
SCREEN = of("vp09.00.31.08", rendition("screen", (8, 16, 0, 0)))
LESSON = lesson(VOICE, *VP9, *SCREEN)
AAC = replace(of("mp4a.40.2", VOICE)[0], name="aac-voice")
COPIES = (AAC, rendition("h264-camera", *BEATS), rendition("h264-screen", (8, 16, 0, 0)))
VIETNAMESE = Captions("vi", "Tiếng Việt", 900, HEX)
EXTRAS = Extras("toan-7", HEX, (VIETNAMESE,), COPIES)


def offered(play: str | None = None, only: str | None = None, source: str = "camera") -> list[str]:
    """Playlists of the variants, each with its voice behind a plus."""
    text = master(LESSON, source, extras=EXTRAS, wish=Wish.read(play, only)) or ""
    found = []
    for attributes, place in re.findall(r"#EXT-X-STREAM-INF:(.+)\n(.+)\n", text):
        voice = re.search(r'AUDIO="([^"]+)"', attributes)
        found.append(place.removesuffix(".m3u8") + (f"+{voice[1]}" if voice else ""))
    return found


def test_a_player_is_offered_what_it_plays() -> None:
    assert offered("vp09,avc1,opus,mp4a") == ["camera-f+voice", "camera-q+voice"]
    # Safari before 17: no Opus; and a machine without VP9.
    assert offered("vp09,avc1,mp4a") == ["camera-f+aac-voice", "camera-q+aac-voice"]
    assert offered("avc1,mp4a") == ["h264-camera+aac-voice"]
    assert offered("avc1,opus") == ["h264-camera+voice"]
    assert offered("opus") == ["voice"]
    assert offered("avc1,mp4a", source="screen") == ["h264-screen"]
    assert offered("vp09", source="screen") == ["screen/index"]
    assert offered("av01") == []


def test_a_player_that_says_nothing_is_told_of_everything_what_was_recorded_first() -> None:
    assert offered() == [
        "camera-f+voice",
        "camera-q+voice",
        "h264-camera+voice",
        "camera-f+aac-voice",
        "camera-q+aac-voice",
        "h264-camera+aac-voice",
    ]
    text = master(LESSON, "camera", extras=EXTRAS)
    assert text is not None
    assert text.count("DEFAULT=YES") == 1
    assert 'CODECS="vp09.00.30.08,mp4a.40.2"' in text


def test_renditions_are_picked_by_name() -> None:
    assert offered(only="voice,camera-q") == ["camera-q+voice"]
    assert offered(only="voice") == ["voice"]
    assert offered(only="aac-voice,h264-camera") == ["h264-camera+aac-voice"]
    assert offered("opus,mp4a", "voice,aac-voice") == ["voice"]
    assert offered("mp4a", "voice,aac-voice") == ["aac-voice"]
    assert offered(only="screen", source="screen") == ["screen/index"]
    assert offered(only="") == offered(only="../etc,x y") == []


def test_captions_are_offered_with_every_variant() -> None:
    for wish in (Wish(), Wish(only=frozenset({"voice"}))):
        text = master(LESSON, "camera", "t", extras=EXTRAS, wish=wish)
        assert text is not None
        assert (
            '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="Tiếng Việt",LANGUAGE="vi",'
            'DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="captions/vi.m3u8?token=t"\n' in text
        )
        assert text.count('SUBTITLES="captions"') == text.count("#EXT-X-STREAM-INF")
    assert "SUBTITLES" not in (master(LESSON, "screen", extras=EXTRAS) or "")
    assert "SUBTITLES" not in (master(LESSON, "camera", extras=Extras("toan-7")) or "")
    text = captions_playlist(LESSON, VIETNAMESE, "a b")
    assert "#EXT-X-TARGETDURATION:40\n" in text
    assert "#EXTINF:40.000,\nvi.vtt?token=a%20b\n#EXT-X-ENDLIST\n" in text


def test_a_copy_has_a_playlist_like_a_rendition_and_moves_no_other() -> None:
    whole = with_copies(LESSON, EXTRAS)
    assert entries(hls.media(whole, "aac-voice"))[0] == (8.0, "", "aac-voice/0.m4s")
    # The screen's ends with the screen.
    assert len(entries(hls.media(whole, "h264-screen"))) == 2
    for name in ("voice", "camera-f", "screen"):
        assert hls.media(whole, name) == hls.media(LESSON, name)
    bare = Manifest("toan-7", 0, 8_000, True, LESSON.renditions)
    assert with_copies(bare, Extras("toan-7")) is bare


def test_a_hole_in_the_aac_voice_is_filled_with_silence_that_decodes() -> None:
    data = fill((GOLDEN / "voice" / "0.m4s").read_bytes(), 480, 48_480, name="aac-voice")
    assert data is not None
    read = scan(data)
    assert (read.start, read.end, len(read.samples)) == (480, 48_480, 47)
    assert {sample.duration for sample in read.samples[:-1]} == {1_024}
    assert hls_master.playlist_name("aac-voice") == "aac-voice.m3u8"
