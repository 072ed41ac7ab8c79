"""What a relay tells those below of a recording, so that theirs has the same bytes. PURE.

Here: where media time begins, which takes there are, how initialisation files are numbered; their
form on the way. Not here: the anchors of tracks (`relay.media.told_timeline`), the message that
carries it all. The root says what it records; every other relay hands on what it was told. It is
small, and it is told again whenever it changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from classroom.archive.canonical import DIGEST_PATTERN, MAX_INTEGER
from classroom.archive.contents import Header
from classroom.archive.journal import Take
from classroom.archive.names import is_rendition
from relay.media.told_timeline import MAX_NAME, malformed

TAKES_TOLD: Final = 16
"""The newest; of an earlier publisher nothing comes any more."""
INITS_TOLD: Final = 4
"""Of each rendition, the newest."""
OWN_NUMBERS: Final = 900_000
"""From here on a relay that is told numbers what it was not told of yet, so that no two files of
one name differ. Names have room for 999,999; the root never comes so far."""
_MAX_INITS: Final = 64
_MAX_BEAT_MS: Final = 600_000


class InitName(NamedTuple):
    """Initialisation file `number` of `rendition` is the one with this digest."""

    rendition: str
    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Told:
    """epoch_ms, beat_ms: as in `lesson.json`. takes, inits: the newest, in order."""

    epoch_ms: int
    beat_ms: int
    takes: tuple[Take, ...] = ()
    inits: tuple[InitName, ...] = ()

    def encode(self) -> dict[str, object]:
        """As it travels in JSON and msgpack."""
        return {
            "epoch_ms": self.epoch_ms,
            "beat_ms": self.beat_ms,
            "takes": [[take.number, take.feed, take.epoch, take.shift_ms] for take in self.takes],
            "inits": [list(init) for init in self.inits],
        }

    @classmethod
    def decode(cls, value: object) -> Told:
        """Raises Refused 400 `trunk-malformed`."""
        if not isinstance(value, dict):
            raise malformed("recording", "what is recorded is not an object")
        return cls(
            _whole(value.get("epoch_ms"), "recording.epoch_ms"),
            _whole(value.get("beat_ms"), "recording.beat_ms", 1, _MAX_BEAT_MS),
            tuple(_take(item) for item in _items(value, "takes", TAKES_TOLD, 4)),
            tuple(_init(item) for item in _items(value, "inits", _MAX_INITS, 3)),
        )


def tell(header: Header, takes: Sequence[Take], inits: Mapping[str, Sequence[InitName]]) -> Told:
    """What there is to tell of a recording. inits: of each rendition, in order of number."""
    names = tuple(name for one in sorted(inits) for name in inits[one][-INITS_TOLD:])
    return Told(header.epoch_ms, header.beat_ms, tuple(takes[-TAKES_TOLD:]), names[:_MAX_INITS])


def _items(value: dict[object, object], name: str, most: int, size: int) -> list[Sequence[object]]:
    items = value.get(name)
    if not isinstance(items, list | tuple) or len(items) > most:
        raise malformed(f"recording.{name}", f"{name} is not a list of at most {most}")
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != size:
            raise malformed(f"recording.{name}", f"{name} has an item that is not of {size}")
    return list(items)


def _take(item: Sequence[object]) -> Take:
    number, feed, epoch, shift = item
    if not isinstance(feed, str) or not 0 < len(feed) <= MAX_NAME:
        raise malformed("recording.takes", "a take has no name of a feed")
    return Take(
        _whole(number, "recording.takes"),
        feed,
        _whole(epoch, "recording.takes"),
        _whole(shift, "recording.takes", -MAX_INTEGER),
    )


def _init(item: Sequence[object]) -> InitName:
    rendition, number, digest = item
    if not isinstance(rendition, str) or not is_rendition(rendition):
        raise malformed("recording.inits", "an initialisation file is of no rendition")
    if not isinstance(digest, str) or DIGEST_PATTERN.fullmatch(digest) is None:
        raise malformed("recording.inits", "an initialisation file has no digest")
    return InitName(rendition, _whole(number, "recording.inits", 0, OWN_NUMBERS - 1), digest)


def _whole(value: object, where: str, low: int = 0, high: int = MAX_INTEGER) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise malformed(where, f"a number is not whole and in {low} to {high}")
    return value
