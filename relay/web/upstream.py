"""Whom this relay takes things from: the control plane at the root, else one of its parents.

Lives here: which address counts now, what its way to the control plane is, which one to ask next
when it is lost, which one would be better. Must not live here: sockets and clocks (`central` calls,
`scout` asks around). Whoever fetches from the parent asks `url` each time, and may `observe`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from classroom.wire import RelayStep


class Upstream:
    """Lives on the service's event loop."""

    def __init__(self, urls: Sequence[str], own_id: Callable[[], str] = str) -> None:
        """urls: base addresses, the preferred one first, at least one. own_id: the subject of this
        relay's token, "" while it has none."""
        self._urls = [url.rstrip("/") for url in urls]
        self._own_id = own_id
        self._at = 0
        self._failures = 0
        self._observers: set[Callable[[], None]] = set()
        self.connected = False
        """Whether the line to `url` stands and has told which lessons there are."""
        self.path: tuple[RelayStep, ...] = ()
        """From the root relay down to the parent; empty at the root and while it is not known."""
        self.reached = False
        """Whether this relay is in touch with the control plane, over however many others."""
        self.refusal = ""
        """Code of what those above refused this relay with last; "" since the line stands."""

    @property
    def url(self) -> str:
        """The base address to ask now, without a slash at its end."""
        return self._urls[self._at]

    @property
    def urls(self) -> list[str]:
        """All of them, the preferred one first."""
        return list(self._urls)

    @property
    def rounds(self) -> int:
        """How often all of them failed one after the other since one was last reached."""
        return self._failures // len(self._urls)

    def observe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` when the address, its path, or either flag changed; the result ends
        it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def opened(self) -> None:
        """The line to `url` stands and is what it should be."""
        self._failures = 0
        self.refusal = ""
        self._set(connected=True)

    def told(self, path: tuple[RelayStep, ...], reached: bool) -> None:
        """The way to the control plane, as the parent tells it."""
        self._set(path=path, reached=reached)

    def closed(self) -> None:
        """The line is gone."""
        self._set(connected=False, path=(), reached=False)

    def failed(self) -> None:
        """`url` was lost or would not have us: from now on the next one counts."""
        self._failures += 1
        self._at = (self._at + 1) % len(self._urls)
        self._tell()

    def use(self, url: str) -> None:
        """From now on `url`, one of `urls`, counts."""
        self._at = self._urls.index(url)
        self._failures = 0
        self._tell()

    def better(self) -> list[str]:
        """Those worth asking now: preferred ones, and any while this one has no way to the control
        plane."""
        return [
            url
            for at, url in enumerate(self._urls)
            if at != self._at and (at < self._at or not self.reached)
        ]

    def is_loop(self, path: Sequence[RelayStep]) -> bool:
        """Whether a parent with this path would have this relay above itself."""
        mine = self._own_id()
        return bool(mine) and any(step.id == mine for step in path)

    def _set(
        self,
        *,
        connected: bool | None = None,
        path: tuple[RelayStep, ...] | None = None,
        reached: bool | None = None,
    ) -> None:
        before = (self.connected, self.path, self.reached)
        self.connected = self.connected if connected is None else connected
        self.path = self.path if path is None else path
        self.reached = self.reached if reached is None else reached
        if (self.connected, self.path, self.reached) != before:
            self._tell()

    def _tell(self) -> None:
        for observer in list(self._observers):
            observer()
