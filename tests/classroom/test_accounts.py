"""Links: what each role's link carries, and who may hand out which."""

from __future__ import annotations

import pytest

from classroom.accounts import (
    PAGES,
    LinkOrder,
    claims_for,
    publish_claims,
    require_may_issue,
)
from classroom.errors import Refused
from classroom.tokens import DEFAULT_RIGHTS, Claims, Right, Role

NOW = 1_767_600_000.75


def link(role: Role, lesson: str = "*") -> Claims:
    return claims_for(LinkOrder(role, lesson, "Lớp 9A", 30), token_id="abc", now=NOW)


@pytest.mark.parametrize("role", list(Role))
def test_a_link_carries_the_rights_of_its_role(role: Role) -> None:
    claims = link(role, "toan-8")
    assert (claims.role, claims.rights, claims.lesson) == (role, DEFAULT_RIGHTS[role], "toan-8")
    assert claims.expires_at - claims.issued_at == 30 * 86400
    assert claims.subject == f"{role}-abc"
    assert role in PAGES


def test_a_publish_token_is_for_one_lesson_and_outlives_no_link() -> None:
    teacher = link(Role.TEACHER)
    claims = publish_claims(teacher, "toan-8", hours=12, token_id="x", now=NOW)
    assert (claims.lesson, claims.subject) == ("toan-8", teacher.subject)
    assert claims.rights == {Right.PUBLISH, Right.WATCH}
    assert claims.expires_at == int(NOW + 12 * 3600)
    late = publish_claims(teacher, "toan-8", hours=12, token_id="x", now=teacher.expires_at - 60)
    assert late.expires_at == teacher.expires_at


@pytest.mark.parametrize("role", [Role.ROOM, Role.VIEWER])
def test_a_teacher_hands_out_room_and_viewer_links(role: Role) -> None:
    require_may_issue(link(Role.TEACHER), role, "toan-8")


@pytest.mark.parametrize(
    ("holder", "role", "lesson", "code"),
    [
        (link(Role.TEACHER), Role.TEACHER, "toan-8", "role-not-yours"),
        (link(Role.TEACHER), Role.RELAY, "toan-8", "role-not-yours"),
        (link(Role.TEACHER, "vat-ly-9"), Role.ROOM, "toan-8", "wrong-lesson"),
        (link(Role.ROOM), Role.ROOM, "toan-8", "right-missing"),
        (link(Role.RELAY), Role.VIEWER, "toan-8", "right-missing"),
    ],
)
def test_and_nothing_else(holder: Claims, role: Role, lesson: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        require_may_issue(holder, role, lesson)
    assert (caught.value.status, caught.value.code) == (403, code)
