"""From the text of an offer to the recorder, in one piece: what is accepted can also be recorded.

Each part has tests of its own for what it refuses. Here: whatever passes the first must not be
what the next one trips over, for it comes from outside and crosses into another process.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from classroom.errors import Refused
from relay.record import feed
from relay.record.join import joiner
from relay.sfu.layer import Layer
from relay.transport import offer, sdp
from relay.transport.recorder_feed import RecorderFeed
from tests.relay.offers import FFMPEG, OBS, OFFERS, TEACHER
from tests.relay.test_recorder_feed import Wire
from tests.relay.test_sdp import mutated

LINE = st.text(st.characters(exclude_characters="\r\n"), max_size=1_200)
LONG = st.sampled_from(["sprop-parameter-sets=" + "Z" * 1_001, "sprop-parameter-sets=ữ"])
MANY = st.just(";".join(f"key-{number}=1" for number in range(65)))
PARAMETER = LONG | MANY | st.builds("{}={}".format, st.just("sprop-parameter-sets") | LINE, LINE)
WHOLE = st.sampled_from([OFFERS[name] for name in (FFMPEG, OBS, TEACHER)])


@settings(max_examples=150, deadline=None)
@given(mutated() | WHOLE, st.lists(PARAMETER, max_size=3))
def test_each_track_of_an_accepted_offer_reaches_the_recorder(
    text: str, parameters: list[str]
) -> None:
    more = ";".join(["level-asymmetry-allowed=1", *parameters])
    try:
        description = sdp.parse(text.replace("level-asymmetry-allowed=1", more))
        accepted = offer.accept_publisher(description)
    except Refused:
        return
    sending, wire = RecorderFeed(), Wire()
    sending.attach(wire)
    told = 0
    for one in accepted:
        if one.track is None:
            continue
        for payload_type, codec in one.track.codecs.items():
            for rid in one.track.rids or ("",):
                layer = Layer(one.track, rid, 0, 1, 1)
                layer.payload_type = payload_type
                sending.begin_track("physics", layer, 1)
                told += 1
            joiner(codec.name, codec.fmtp)
    tracks = [record for _, record in wire.records() if isinstance(record, feed.Track)]
    assert len(tracks) == told
    for track in tracks:
        assert track.codec == "opus" or joiner(track.codec, track.fmtp) is not None
