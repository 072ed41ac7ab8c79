"""Which parent counts: the next when one is lost, the preferred one again, never an own child."""

from __future__ import annotations

from classroom.wire import RelayStep
from relay.web.upstream import Upstream

REGION, ROOT = "http://region.example", "http://root.example"


def test_a_lost_parent_is_followed_by_the_next_and_then_by_the_first() -> None:
    upstream = Upstream([REGION + "/", ROOT])
    assert (upstream.url, upstream.rounds) == (REGION, 0)
    upstream.failed()
    assert (upstream.url, upstream.rounds) == (ROOT, 0)
    upstream.failed()
    assert (upstream.url, upstream.rounds) == (REGION, 1)
    upstream.opened()
    assert upstream.rounds == 0


def test_the_preferred_one_is_worth_asking_again_and_any_while_this_one_leads_nowhere() -> None:
    upstream = Upstream([REGION, ROOT])
    assert upstream.better() == [ROOT]  # nothing is known of the first yet
    upstream.told((RelayStep("relay-1", "root"),), True)
    assert upstream.better() == []
    upstream.failed()
    assert upstream.better() == [REGION]
    upstream.use(REGION)
    assert upstream.url == REGION


def test_a_relay_finds_itself_above_its_parent() -> None:
    steps = (RelayStep("relay-1", "root"), RelayStep("school-7", "Trà Leng"))
    assert Upstream([ROOT], lambda: "school-7").is_loop(steps)
    assert not Upstream([ROOT], lambda: "school-8").is_loop(steps)
    # Without a token it has no name yet, and so has nobody.
    assert not Upstream([ROOT], lambda: "").is_loop(steps)


def test_each_change_is_told_once() -> None:
    upstream = Upstream([ROOT])
    told: list[tuple[bool, bool]] = []
    forget = upstream.observe(lambda: told.append((upstream.connected, upstream.reached)))
    upstream.opened()
    upstream.opened()
    upstream.told((), True)
    upstream.told((), True)
    upstream.closed()
    forget()
    upstream.opened()
    assert told == [(True, False), (True, True), (False, False)]
