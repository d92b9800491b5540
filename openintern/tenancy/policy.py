"""The one table of who may do what: role × resource × action.

Permission checks (`openintern.tenancy.identity`), the menus on the pages and the tests are all made from it.
"Read" actions are open to keys that may only read.
"""

from __future__ import annotations

from typing import Final

from openintern.tenancy.roles import Role

READ: Final = "read"

#: The least role that may take an action on a resource. What is not here, nobody may.
POLICY: Final[dict[tuple[str, str], Role]] = {
    ("profile", "read"): Role.VIEWER,
    ("profile", "change"): Role.VIEWER,
    ("run", "read"): Role.VIEWER,
    ("run", "create"): Role.MEMBER,
    ("run", "cancel"): Role.MEMBER,
    ("run", "inject"): Role.MEMBER,
    ("run", "delete"): Role.MEMBER,
    ("run", "requeue"): Role.ADMIN,
    ("effect", "read"): Role.VIEWER,
    ("effect", "settle"): Role.MEMBER,
    ("approval", "read"): Role.VIEWER,
    ("approval", "decide"): Role.MEMBER,
    ("memory", "read"): Role.VIEWER,
    ("memory", "create"): Role.MEMBER,
    ("memory", "change"): Role.MEMBER,
    ("memory", "delete"): Role.MEMBER,
    ("role", "read"): Role.VIEWER,
    ("role", "create"): Role.ADMIN,
    ("role", "change"): Role.ADMIN,
    ("role", "delete"): Role.ADMIN,
    ("group", "read"): Role.VIEWER,
    ("group", "create"): Role.ADMIN,
    ("group", "change"): Role.ADMIN,
    ("group", "delete"): Role.ADMIN,
    ("board", "read"): Role.VIEWER,
    ("board", "create"): Role.MEMBER,
    ("board", "change"): Role.MEMBER,
    ("board", "delete"): Role.MEMBER,
    ("board", "decide"): Role.ADMIN,
    ("skill", "read"): Role.VIEWER,
    ("skill", "create"): Role.ADMIN,
    ("skill", "change"): Role.ADMIN,
    ("skill", "delete"): Role.ADMIN,
    ("run", "repin"): Role.MEMBER,
    ("document", "read"): Role.VIEWER,
    ("document", "create"): Role.MEMBER,
    ("document", "change"): Role.MEMBER,
    ("document", "delete"): Role.MEMBER,
    ("session", "read"): Role.VIEWER,
    ("session", "change"): Role.MEMBER,
    ("budget", "read"): Role.VIEWER,
    ("budget", "change"): Role.ADMIN,
    ("upload", "read"): Role.VIEWER,
    ("upload", "create"): Role.MEMBER,
    ("upload", "delete"): Role.MEMBER,
    ("pdf", "read"): Role.VIEWER,
    ("pdf", "create"): Role.MEMBER,
    ("connector", "read"): Role.VIEWER,
    ("connector", "sync"): Role.MEMBER,
    ("connector", "create"): Role.ADMIN,
    ("connector", "change"): Role.ADMIN,
    ("connector", "delete"): Role.ADMIN,
    ("schedule", "read"): Role.VIEWER,
    ("schedule", "create"): Role.MEMBER,
    ("schedule", "change"): Role.MEMBER,
    ("schedule", "delete"): Role.MEMBER,
    ("time_zone", "read"): Role.VIEWER,
    ("time_zone", "change"): Role.ADMIN,
    ("webhook", "read"): Role.ADMIN,
    ("webhook", "change"): Role.ADMIN,
    ("mcp_server", "read"): Role.ADMIN,
    ("mcp_server", "change"): Role.ADMIN,
    ("admin", "read"): Role.ADMIN,
    ("admin", "change"): Role.ADMIN,
}

#: What an API key may be given, and what it is for.
KEY_SCOPES: Final[dict[str, str]] = {
    "read": "see what its person may see",
    "write": "do what its person may do",
    "act_as": "name any person of the organisation (for a trusted gateway)",
}


def allows(role: Role, resource: str, action: str) -> bool:
    """Whether `role` may take `action` on `resource`."""
    least = POLICY.get((resource, action))
    return least is not None and role.includes(least)


def key_allows(scopes: list[str], action: str) -> bool:
    """Whether a key with `scopes` may take `action` at all, its person's role aside."""
    return "write" in scopes or (action == READ and "read" in scopes)
