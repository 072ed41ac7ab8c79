"""What relays say of a lesson's recording over their line, to and from what the recorder means by
it.

Here: the two forms of one thing, nothing else. Not here: when it is said (`trunks`), what it is for
(`relay.record.told`).
"""

from __future__ import annotations

from classroom.wire import TrunkInit, TrunkRecording, TrunkTake
from relay.record.told import Told


def as_message(lesson: str, told: Told) -> TrunkRecording:
    """As it travels."""
    return TrunkRecording(
        lesson,
        told.epoch_ms,
        told.beat_ms,
        tuple(TrunkTake(one.number, one.feed, one.epoch, one.shift_ms) for one in told.takes),
        tuple(TrunkInit(*one) for one in told.inits),
    )


def as_told(message: TrunkRecording) -> Told:
    """As the recorder takes it. Raises Refused 400 `trunk-malformed`."""
    return Told.decode(
        {
            "epoch_ms": message.epoch_ms,
            "beat_ms": message.beat_ms,
            "takes": [[one.number, one.feed, one.epoch, one.shift_ms] for one in message.takes],
            "inits": [[one.rendition, one.number, one.digest] for one in message.inits],
        }
    )
