"""What every handler needs, in one place: settings, keys, store, desk, hub, metrics, clocks.

Made once per application by `app` and found under `CONTEXT`; nothing here acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from classroom.clock import Clock
from classroom.settings import Settings
from classroom.store import Blobs, LiveState, Records
from classroom.tokens import Signer, Verifier
from classroom.web.desk import Desk
from classroom.web.hub import Hub
from classroom.web.metrics import Metrics
from classroom.web.tree import Tree


@dataclass(frozen=True, slots=True)
class Context:
    """wall: unix seconds. monotonic: seconds that never jump. blobs: files of lessons. pages: the
    built web client."""

    settings: Settings
    signer: Signer
    verifier: Verifier
    records: Records
    blobs: Blobs
    live: LiveState
    desk: Desk
    hub: Hub
    tree: Tree
    metrics: Metrics
    wall: Clock
    monotonic: Clock
    pages: Path


CONTEXT: Final = web.AppKey("context", Context)


def context_of(request: web.Request) -> Context:
    """The context of the application that serves `request`."""
    return request.app[CONTEXT]
