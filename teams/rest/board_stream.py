"""That something on a board is new, as it happens: `GET /api/groups/<group>/blackboard/stream`, server-sent events."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.http import HttpResponseBase

from openintern.live.watch import Standing, Watched, answer
from openintern.tenancy.access import access
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.scope import Scope
from runs.stream import hub
from teams import groups
from teams.board import keeping
from teams.board.entries import watched

_BOARD: Final = "/api/groups/{group_id}/blackboard"


@access("board", GET="read")
async def board_stream(request: ScopedRequest, group_id: str) -> HttpResponseBase:
    """Tell how a board stands, at once and again whenever something is put there, changed or taken away.

    What it says is read like the rest of it; this only says when.
    """
    board = Watched(
        watched(group_id), "board", partial(_look, group_id), about={"group_id": group_id}, event="board.changed"
    )
    return await answer(request, hub.bell, board)


def _look(group_id: str, scope: Scope) -> Standing:
    told = keeping.standing(groups.find(scope, group_id))
    return Standing({group_id: {"group_id": group_id, **told._asdict()}}, is_over=False)


def describe_stream(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the stream to the OpenAPI document, open to the same identities as the board; it is no view of REST framework."""
    board = result["paths"][_BOARD]["get"]
    result["paths"][f"{_BOARD}/stream"] = {
        "get": {
            "operationId": "stream_board",
            "description": (
                "Follow a board, as server-sent events: `board.changed` at once and whenever something on it is new, with "
                "how many `entries` there are and a `state` that differs after each change; `ping` in between."
            ),
            "tags": board["tags"],
            "parameters": [each for each in board["parameters"] if each["in"] == "path"],
            "responses": {
                "200": {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
            },
            "security": board["security"],
        }
    }
    return result
