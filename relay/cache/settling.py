"""The end of a copy: everything is here and verified; make the archive's top the source's bytes.

Here: what a source's journal and events must be, the order of the last writes, removing what the
manifest does not know. Not here: parts, whether they are there. After a crash between any two of
these writes the same call, made again, ends in the same archive.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from classroom.archive import canonical
from classroom.archive import manifest as manifests
from classroom.archive.canonical import malformed
from classroom.archive.contents import Header, JournalReader
from classroom.archive.events import Event
from classroom.archive.manifest import Manifest
from classroom.archive.names import EVENTS, HEADER, JOURNAL, MANIFEST, is_rendition
from relay.cache.files import (
    hash_file,
    remove_tree,
    size_of,
    stamp_of,
    sync_directory,
    write_atomic,
)
from relay.cache.merge import files_of
from relay.cache.reading import SOURCE

MAX_TOP_BYTES: Final = 64 * 2**20
"""Of a journal or an event log: a day of lessons; an hour takes about 5 MB."""
_CHUNK: Final = 256 * 1024


def kept(path: Path) -> bytes:
    """What is in a file of the top, empty if there is none. Raises OSError."""
    if size_of(path) > MAX_TOP_BYTES:
        return b""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def top_digest(path: Path) -> str:
    """One digest over the files of the top that nothing else vouches for. Raises OSError."""
    found = (hash_file(path / name) for name in (HEADER, EVENTS, JOURNAL))
    return canonical.digest(" ".join(one[1] if one else "" for one in found).encode())


def header_of(manifest: Manifest) -> Header:
    """The header that the manifest was made with: byte for byte the source's."""
    return Header(manifest.lesson, manifest.epoch_ms, manifest.beat_ms)


def check_journal(data: bytes, manifest: Manifest) -> None:
    """Raise Refused 400 `archive-malformed` unless the journal tells exactly the manifest."""
    if len(data) > MAX_TOP_BYTES:
        raise malformed("journal", f"a journal of more than {MAX_TOP_BYTES >> 20} MiB")
    reader = JournalReader()
    for at in range(0, len(data), _CHUNK):
        reader.receive(data[at : at + _CHUNK])
    if reader.consumed != len(data):
        raise malformed("journal", "a line of the journal is torn or damaged")
    if manifests.build(header_of(manifest), reader.contents) != manifest:
        raise malformed("journal", "the journal does not agree with the manifest")


def check_events(data: bytes) -> None:
    """Raise Refused 400 `archive-malformed` unless every line is an event."""
    if len(data) > MAX_TOP_BYTES:
        raise malformed("events", f"an event log of more than {MAX_TOP_BYTES >> 20} MiB")
    *lines, rest = data.split(b"\n")
    if rest:
        raise malformed("events", "the event log's last line is torn")
    for line in lines:
        Event.decode(line)


def settle(path: Path, manifest: Manifest, journal: bytes | None, events: bytes | None) -> None:
    """Make the top of the archive at `path` the source's. None: what is there already. The manifest
    comes last: until then the archive is followed. Raises OSError."""
    header = header_of(manifest).encode()
    for name, data in ((HEADER, header), (EVENTS, events), (JOURNAL, journal)):
        if data is not None and kept(path / name) != data:
            write_atomic(path / name, data)
    remove_strays(path, manifest)
    if stamp_of(path / SOURCE) is not None:
        os.replace(path / SOURCE, path / MANIFEST)
        sync_directory(path)


def remove_strays(path: Path, manifest: Manifest) -> None:
    """Remove what the manifest does not know from the renditions, and halves of atomic writes."""
    known = files_of(manifest)
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False) and is_rendition(entry.name):
            _clean(Path(entry.path), {name.partition("/")[2] for name in known if _in(entry, name)})
        elif entry.name.startswith(".") and entry.name.endswith(".tmp"):
            os.unlink(entry.path)
    sync_directory(path)


def _in(directory: os.DirEntry[str], name: str) -> bool:
    return name.partition("/")[0] == directory.name


def _clean(directory: Path, known: set[str]) -> None:
    if not known:
        remove_tree(directory)
        return
    changed = False
    for entry in list(os.scandir(directory)):
        if entry.name in known and entry.is_file(follow_symlinks=False):
            continue
        changed = True
        if entry.is_dir(follow_symlinks=False):
            remove_tree(Path(entry.path))
        else:
            os.unlink(entry.path)
    if changed:
        sync_directory(directory)
