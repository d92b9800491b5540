"""What foreign programs can do with boards, by MCP. The functions behind are those of the API and the pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from memory.models import Trust
from openintern.tenancy.scope import Scope, org_scope
from runs.mcp.serving.doors import door
from teams import groups
from teams.board import keeping
from teams.board.keeping import Wanted
from teams.models import BoardEntry

GroupId = Annotated[str, "The id of a group, grp_…: board_list names those in sight", Field(max_length=40)]
Kind = Literal["decision", "evidence", "proposal", "todo", "note"]
_MOST_GROUPS = 100


@door("board", "read")
def board_list(scope: Scope) -> dict[str, Any]:
    """List the groups in sight, the newest first: each has a board. A task for one is run_start with agent_id group:<id>."""
    with org_scope(scope.org):
        rows = groups.visible(scope)[:_MOST_GROUPS]
        return {"groups": [{"id": row.pk, "name": row.name, "description": row.description} for row in rows]}


@door("board", "read")
def board_read(
    scope: Scope,
    group_id: GroupId,
    kind: Annotated[Kind | None, "Only entries of this kind"] = None,
    words: Annotated[str, "Only entries that hold these words", Field(max_length=200)] = "",
    limit: Annotated[int, "How many entries at most", Field(ge=1, le=50)] = 20,
) -> dict[str, Any]:
    """Return what stands on a group's board, the newest first: who wrote it, and from which event of which run it is."""
    with org_scope(scope.org):
        rows = keeping.board(scope, group_id, Wanted(kind=kind or "", words=words))
        return {"entries": [_entry(row) for row in rows[:limit]]}


@door("board", "create")
def board_post(
    scope: Scope,
    group_id: GroupId,
    text: Annotated[str, "What to put down, in whole sentences", Field(min_length=1, max_length=8_000)],
    kind: Annotated[Kind, "Decisions are for admins"] = "note",
) -> dict[str, Any]:
    """Put something on a group's board, in the name of whoever's key this is. The group's agents read and remember it."""
    with org_scope(scope.org):
        return {"entry": _entry(keeping.add(scope, group_id, kind=kind, text=text))}


def _entry(row: BoardEntry) -> dict[str, Any]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "text": row.text,
        "details": row.details,
        "status": row.status,
        "pinned": row.is_pinned,
        "from_outside": row.trust == Trust.OUTSIDE,
        "by": row.role_name or str(row.user or ""),
        "run_id": row.run_id,
        "event_seq": row.event_seq,
        "version": row.version,
        "created_at": row.created_at.isoformat(),
    }
