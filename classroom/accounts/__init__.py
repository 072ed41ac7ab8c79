"""People and links: who may hand out which link, and what such a link lets its holder do.

Roles and rights themselves are words of `classroom.tokens`; here stands how they are given out.
Pure: the caller brings the time and the random ids.
"""

from classroom.accounts.links import PAGES, LinkOrder, claims_for, publish_claims, require_may_issue

__all__ = ["PAGES", "LinkOrder", "claims_for", "publish_claims", "require_may_issue"]
