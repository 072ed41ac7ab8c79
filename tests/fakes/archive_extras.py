"""Captions and a copy beside an archive that was made for a test.

Lives here: making and writing them, right in every size and digest. Must not live here: archives
(`archives`), captions that a player shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from classroom.archive import canonical
from classroom.archive.extras import Captions, Extras
from relay.cache.files import write_atomic
from tests.fakes.archives import make


def add_extras(root: Path, captions: Mapping[str, bytes], beats: int) -> None:
    """Captions, and a copy of the voice with one initialisation file and `beats` segments."""
    copy = make(root.name, beats=beats, sizes={"voice": 500})
    (root / "aac-voice").mkdir(exist_ok=True)
    for name, data in copy.files.items():
        if name.startswith("voice/"):
            (root / "aac-voice" / name.removeprefix("voice/")).write_bytes(data)
    (root / "captions").mkdir(exist_ok=True)
    for language, data in captions.items():
        (root / "captions" / f"{language}.vtt").write_bytes(data)
    rendition = copy.decoded.renditions[0]
    renamed = replace(
        rendition,
        name="aac-voice",
        inits=tuple(replace(one, rendition="aac-voice") for one in rendition.inits),
        segments=tuple(replace(one, rendition="aac-voice") for one in rendition.segments),
    )
    extras = Extras(
        root.name,
        canonical.digest((root / "manifest.json").read_bytes()),
        tuple(
            Captions(language, language, len(data), canonical.digest(data))
            for language, data in sorted(captions.items())
        ),
        (renamed,),
    )
    write_atomic(root / "extras.json", extras.encode())
