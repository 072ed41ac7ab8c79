"""How a recorder is set, and what it shows of each lesson. PURE.

Here: settings, those of a relay below another, a recording's state and the codes of what is wrong
with it. Not here: who comes to such a state (`session`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from relay.record.awaited import PATIENCE

State = Literal["none", "recording", "failing", "finished"]

# What `detail` says; pages have the words (classroom/wire/PROTOCOL.md).
DISK_FULL: Final = "disk-full"
DISK_FAILING: Final = "disk-failing"
NOT_RECORDED: Final = "not-recorded"  # what is taught does not reach the archive


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """beat_ms: length of a beat, for new lessons. hold: seconds a lost packet is waited for.

    commit_interval: seconds between commits. retry_interval: seconds between tries to use a
    failing disk again. buffer_bytes: what is kept of each lesson while the disk fails. below: the
    media comes from a relay above; see `below`. lag: seconds that every packet waits. patience:
    seconds of waiting to be told how to record.
    """

    beat_ms: int = 8_000
    hold: float = 2.0
    commit_interval: float = 0.25
    retry_interval: float = 2.0
    buffer_bytes: int = 16 * 2**20
    below: bool = False
    lag: float = 0.0
    patience: float = PATIENCE


def below(settings: RecorderSettings) -> RecorderSettings:
    """For a relay that has a parent: its recordings are to have the bytes of those above.

    It records as it is told. It waits for repairs as long as its trunk asks for them (a second and
    some round trips of up to 800 ms), and with every packet for anchors, which come over the line
    beside the trunk and may be late by a repetition of TCP. It writes no manifest: the one that
    comes from above says what there is to be.
    """
    return replace(settings, below=True, hold=5.0, lag=2.5)


@dataclass(frozen=True, slots=True)
class RecordingState:
    """What pages show.

    detail: a code of this module, empty while all is well. seconds: of lesson recorded so far.
    """

    state: State
    detail: str
    seconds: float
