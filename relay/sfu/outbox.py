"""What one lesson's router has received and not yet sent: neighbours of a size leave as one run.

A frame's packets arrive within microseconds of each other; sent together they are one train for
each viewer, which costs the kernel little more than one packet. Who takes a frame at once gets it
in everybody's batch, the others through their paces. Not here: who receives what (group, joining),
when a flush is due (the media process). Pure; seconds, bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from relay.sfu.group import Group
from relay.sfu.layer import Layer
from relay.sfu.leg import Leg
from relay.sfu.pacing import hold_back, push_run
from relay.sfu.packet import Outgoing
from relay.sfu.sink import FanOut, Run

W = TypeVar("W")

# Packets in one datagram train, and bytes: the fan-out has 16 KiB for one, with room behind each
# packet for its authentication tag.
_TRAIN: Final = 12
_TRAIN_BYTES: Final = 16 * 1024
_TAG: Final = 16
# How long the packets of an unfinished frame may wait for each other; no link that we are made
# for notices a millisecond.
HOLD_SECONDS: Final = 0.001


class Outbox(Generic[W]):
    """One per router. Flush before any leg moves: its members are looked at when it is sent."""

    def __init__(self, fan_out: FanOut[W]) -> None:
        self._fan_out = fan_out
        self._entries: list[tuple[Group, Outgoing, Sequence[Leg[Any]]]] = []
        self._since = 0.0
        self._unfinished: set[Layer] = set()

    def add(self, group: Group, out: Outgoing, legs: Sequence[Leg[Any]], arrived: float) -> None:
        """One packet for `legs`, the group's members or some of them; arrived: seconds."""
        if not self._entries:
            self._since = arrived
        self._entries.append((group, out, legs))

    def note_frame(self, layer: Layer, *, finished: bool) -> None:
        """Whether the frame that the layer's newest packet belongs to is whole."""
        if finished:
            self._unfinished.discard(layer)
        else:
            self._unfinished.add(layer)

    def holds_until(self) -> float | None:
        """Until when a flush may wait for the rest of a frame, None when it should not."""
        if not self._entries or not self._unfinished:
            return None
        return self._since + HOLD_SECONDS

    def flush(self, now: float) -> None:
        """Send everything."""
        entries = self._entries
        if not entries:
            return
        self._entries = []
        self._unfinished.clear()
        runs: list[tuple[Group, Sequence[Leg[Any]], list[Outgoing]]] = []
        newest: dict[int, tuple[Group, Sequence[Leg[Any]], list[Outgoing]]] = {}
        for group, out, legs in entries:
            last = newest.get(id(group))
            if last is not None and last[1] is legs and _goes_on(last[2], out):
                last[2].append(out)
                continue
            newest[id(group)] = begun = (group, legs, [out])
            runs.append(begun)
        self._send(runs, now)

    def _send(
        self, runs: Sequence[tuple[Group, Sequence[Leg[Any]], list[Outgoing]]], now: float
    ) -> None:
        """Each run to all who take it at once, and to the others' paces."""
        leaving: list[Run[W]] = []
        for group, legs, run in runs:
            members, some = group.legs, legs
            if group.layer.is_video:
                size = group.frame_so_far(run)
                if legs is members:
                    if members.tightest < size:
                        # Those that are held from now on get what went before at once.
                        self._leave(leaving, now)
                        leaving = []
                        hold_back(members, size)
                    push_run(run, members.held, now)
                elif members.held:
                    held = set(map(id, members.held))
                    push_run(run, [leg for leg in legs if id(leg) in held], now)
                    some = [leg for leg in legs if id(leg) not in held]
            if some:
                leaving.append((run, some))
        self._leave(leaving, now)

    def _leave(self, leaving: Sequence[Run[W]], now: float) -> None:
        if leaving:
            self._fan_out.fan_out(leaving, now)


def _goes_on(run: Sequence[Outgoing], out: Outgoing) -> bool:
    """Whether `out` may follow in `run`: a smaller packet ends a train."""
    first, size = run[0], len(run[0].data)
    return (
        len(run) < _TRAIN
        and len(run[-1].data) == size >= len(out.data)
        and (len(run) + 1) * (size + _TAG) <= _TRAIN_BYTES
        and first.twcc_offset == out.twcc_offset
    )
