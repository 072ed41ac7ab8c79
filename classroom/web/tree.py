"""The tree of relays below the root relay, as the control plane knows it.

Lives here: which token may call us as a root relay, which relays are revoked, which schools' relays
there are and where browsers reach them. Must not live here: sockets (`sockets`), codes (`schools`),
and who is told (`hub`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from classroom.clock import Clock
from classroom.errors import Refused
from classroom.store import BelowReport, LiveState, Records, RelayAlive
from classroom.store.school_relays import revoked
from classroom.tokens import Claims
from classroom.web.logs import event
from classroom.wire import MAX_REVOKED, RelayNode, RelayRevoked

# Addresses noted by this process, so that the records are not asked at each word of a relay.
_NOTED: Final = 5_000


class Tree:
    """wall: dates in unix seconds. Any method may raise Absent."""

    def __init__(self, records: Records, live: LiveState, wall: Clock) -> None:
        self._records = records
        self._live = live
        self._wall = wall
        self._noted: dict[str, tuple[str, str]] = {}

    async def admit_root(self, claims: Claims) -> None:
        """Raise Refused 403 unless the holder may be a root relay: one that enrolled as a school's
        takes its lessons from a parent. `relay-revoked` or `relay-not-root`."""
        relay = await self._records.relays.find(claims.subject)
        if relay is None:
            return
        if relay.revoked_at is not None:
            raise revoked()
        raise Refused(
            403,
            "relay-not-root",
            "This is the address of the control plane; a school's relay connects to a relay.",
            fix="Start it with --parent and the address of the central school's relay (often the "
            "same machine, port 8081).",
            field="Authorization",
        )

    async def revoked(self) -> RelayRevoked:
        """The relays that count no more."""
        return RelayRevoked(tuple(await self._records.relays.revoked(self._wall(), MAX_REVOKED)))

    async def told(self, relay: RelayAlive, nodes: Mapping[str, RelayNode]) -> None:
        """Take a relay's word on the relays below it, all of them by id."""
        for node in nodes.values():
            said = (node.url, node.proof)
            if self._noted.get(node.id) != said:
                noted = await self._records.relays.moved(node.id, node.url, node.proof)
                if len(self._noted) >= _NOTED:
                    self._noted.clear()
                self._noted[node.id] = said
                what = "school-relay-here" if noted else "school-relay-address-unproven"
                event(what, relay=node.id, name=node.name, url=node.url)
        await self._live.keep_below(BelowReport(relay.name, tuple(nodes.values())))

    async def nodes(self) -> list[RelayNode]:
        """Relays below the root relays that are here, by name."""
        alive = {relay.name for relay in await self._live.relays(self._wall())}
        nodes = {
            node.id: node
            for report in await self._live.below()
            if report.relay in alive
            for node in report.nodes
        }
        return sorted(nodes.values(), key=lambda node: (node.name, node.id))
