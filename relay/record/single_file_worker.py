"""The worker process that writes a lesson as one MP4 file; started by `relay.web.files`.

Here: PyAV, stream copy of the chosen renditions, each segment checked against its digest before a
byte of it is used. Not here: what is chosen (`single_file`), where files are kept. The index comes
first in the file, so that it plays while it is still being loaded. Ends with status 3 where the
archive is not whole.

    python -m relay.record.single_file_worker ARCHIVE PICTURE TARGET
"""

from __future__ import annotations

import contextlib
import heapq
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from classroom.archive.canonical import digest
from classroom.archive.extras import Extras
from classroom.archive.manifest import Manifest
from classroom.archive.names import EXTRAS, MANIFEST, init_name, segment_name
from classroom.errors import Refused
from relay.record.single_file import NOT_WHOLE, Part, choose
from relay.worker_process import die_with_parent, yield_to_all


class NotWholeError(Exception):
    """A segment is missing or not what the manifest says."""


class _Chain(io.RawIOBase):
    """A part's initialisation file and its segments, read as one file from front to end."""

    def __init__(self, folder: Path, part: Part) -> None:
        super().__init__()
        head = part.rendition.init(part.init)
        self._files = iter(
            [(folder / init_name(head.number), head.digest)]
            + [(folder / segment_name(s.beat, s.part), s.digest) for s in part.segments]
        )
        self._rest = b""
        self.fault: NotWholeError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            found = next(self._files, None)
            if found is None:
                return b""
            path, wanted = found
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                data = b""
            if digest(data) != wanted:
                # PyAV takes an exception for the end of the file, so it is kept for later.
                self.fault = NotWholeError(path.name)
                self._files = iter(())
                return b""
            self._rest = data
        if size < 0:
            size = len(self._rest)
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


def write(archive: Path, picture: str, target: Path) -> None:
    """Write `target`. Raises NotWholeError, OSError, Refused."""
    document = (archive / MANIFEST).read_bytes()
    extras = Extras(archive.name)
    with contextlib.suppress(FileNotFoundError, Refused):
        extras = Extras.decode((archive / EXTRAS).read_bytes()).of(digest(document))
    choice = choose(Manifest.decode(document), extras, picture)
    if choice is None:
        raise NotWholeError("nothing of it is recorded")
    chains = [_Chain(archive / part.rendition.name, part) for part in choice.parts]
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(_opened(chain)) for chain in chains]
        options = {"movflags": "faststart"}
        output = stack.enter_context(av.open(str(target), "w", format="mp4", options=options))
        _mux(sources, output)
    for chain in chains:
        if chain.fault is not None:
            raise chain.fault


def _opened(chain: _Chain) -> InputContainer:
    try:
        return av.open(chain, "r", format="mp4")
    except av.FFmpegError as error:
        raise chain.fault or error from None


def _mux(sources: list[InputContainer], output: OutputContainer) -> None:
    """Copy all packets in order of time."""
    streams = [output.add_stream_from_template(source.streams[0]) for source in sources]
    queues = [_packets(source, number) for number, source in enumerate(sources)]
    for _, number, packet in heapq.merge(*queues, key=lambda item: item[:2]):
        packet.stream = streams[number]
        output.mux(packet)


def _packets(source: InputContainer, number: int) -> Iterator[tuple[float, int, Packet[Stream]]]:
    for packet in source.demux(source.streams[0]):
        if packet.dts is not None and packet.time_base is not None:
            yield float(packet.dts * packet.time_base), number, packet


def main() -> None:
    """Run as a process of its own."""
    die_with_parent()
    yield_to_all()
    av.logging.set_level(av.logging.PANIC)
    archive, picture, target = sys.argv[1:]
    try:
        write(Path(archive), picture, Path(target))
    except NotWholeError:
        sys.exit(NOT_WHOLE)
    # Served only when it is on the disk as a whole.
    with open(target, "rb") as file:
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
