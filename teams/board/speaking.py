"""What a member of a team says in a run. Who it is, and in which team, is the runner's word and never the model's.

Each call may come again after a crash: what it wrote is found by the run and the call. The events go with the tool's
result (`ToolContext.news`), the entries are committed before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db import transaction

from memory.models import Trust
from openintern.errors import NotFound, OpenInternError
from runs.events import Draft, EventType
from runs.models import Event, Run
from runs.tools.registry import ToolContext, ToolError, tools
from teams.board.entries import Author, Post, remove, rewrite, write
from teams.models import AgentInstance, BoardEntry

#: How many results an entry rests on whose author names none.
_LATEST: Final = 5


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A member at work: the run, the team it is pinned to, and its own seat in that."""

    context: ToolContext
    run: Run
    team: Mapping[str, Any]
    seat: Mapping[str, Any]

    @classmethod
    def of(cls, context: ToolContext) -> Speaker:
        """Return who calls. Raises ToolError outside a team's turn."""
        run = Run.objects.select_related("parent").filter(pk=context.run_id).first()
        team = _team_of(run) if run and context.group_id == run.group_id else None
        seat = next((one for one in team["members"] if one["agent_id"] == context.agent_id), None) if team else None
        if run is None or team is None or seat is None:
            raise ToolError("Only a member of a team can say this, in a task of the team")
        return cls(context=context, run=run, team=team, seat=seat)

    @property
    def author(self) -> Author:
        """The member as the board names it. One that is gone from the tables keeps its role's name."""
        known = AgentInstance.objects.filter(pk=self.context.agent_id).exists()
        return Author(
            agent_id=self.context.agent_id if known else "",
            role_name=self.seat["name"],
            run_id=self.run.pk,
            tool_call_id=self.context.tool_call_id,
            trust=Trust.OUTSIDE if self.context.is_tainted else Trust.DERIVED,
        )

    def tell(self, type: EventType, **payload: Any) -> None:
        """Have an event written with the result of the call."""
        signed = {"from": self.context.agent_id, "role": self.seat["name"]}
        told = {name: value for name, value in payload.items() if value is not None}
        self.context.news.append(Draft(type, {**told, **signed}, agent_id=self.context.agent_id))

    def post(self, post: Post) -> BoardEntry | None:
        """Put something on the team's board; None where the group, and so its board, was removed meanwhile."""
        try:
            return write(self.context.group_id, self.author, post)
        except NotFound:
            return None
        except OpenInternError as refusal:
            raise ToolError(refusal.message) from refusal

    def checked(self, refs: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
        """Return references to events that are there and in sight: of this run, the one it belongs to, and those below it.

        Raises ToolError for the first that isn't: what can't be seen is as good as not there.
        """
        wanted = list(dict.fromkeys((run_id or self.run.pk, seq) for run_id, seq in refs))
        in_sight = {self.run.pk, self.run.parent_id, *self.run.children.values_list("pk", flat=True)}
        asked = {run_id for run_id, _ in wanted} & in_sight
        found = set(
            Event.objects.filter(run__in=asked, seq__in=[seq for _, seq in wanted]).values_list("run_id", "seq")
        )
        for run_id, seq in wanted:
            if (run_id, seq) not in found:
                raise ToolError(f"There is no event {seq} in {run_id} that you could refer to")
        return [{"run_id": run_id, "seq": seq} for run_id, seq in wanted]

    def latest_results(self) -> list[dict[str, Any]]:
        """Return references to what the member's tools told it last in this run, the oldest first."""
        talk = [tool.name for tool in tools().values() if tool.seat]
        results = Event.objects.filter(run=self.run, agent_id=self.context.agent_id, type=EventType.TOOL_RESULT)
        told = results.filter(payload__isError=False).exclude(payload__toolName__in=talk)
        latest = list(told.order_by("-seq").values_list("seq", flat=True)[:_LATEST])
        return [{"run_id": self.run.pk, "seq": seq} for seq in reversed(latest)]

    def entries(self, ids: Sequence[str]) -> list[str]:
        """Return ids of entries of the team's board. Raises ToolError for the first that isn't one."""
        there = set(BoardEntry.objects.filter(group=self.context.group_id, pk__in=ids).values_list("pk", flat=True))
        for entry_id in ids:
            if entry_id not in there:
                raise ToolError(f"There is no entry {entry_id} on the team's board; read_board lists them")
        return list(dict.fromkeys(ids))

    def member(self, name: str) -> Mapping[str, Any]:
        """Return another member by its role's name or its id. Raises ToolError for nobody, and for oneself."""
        wanted = name.strip().casefold()
        for one in self.team["members"]:
            if wanted in {one["name"].casefold(), one["agent_id"].casefold(), one["id"].casefold()}:
                if one["agent_id"] == self.context.agent_id:
                    raise ToolError("That is you; ask another member")
                return dict(one)
        others = ", ".join(one["name"] for one in self.team["members"] if one["agent_id"] != self.context.agent_id)
        raise ToolError(f"There is no member {name} in this team; there are: {others or 'no others'}")


@transaction.atomic
def decide(speaker: Speaker, post: Post, *, next_actions: Sequence[str]) -> BoardEntry | None:
    """Put the run's decision on the board, and what follows from it. A run has one: a later one takes its place."""
    if not speaker.seat["is_lead"]:
        raise ToolError("Only the team's lead decides; post a proposal instead")
    author = speaker.author
    earlier = decision_of(speaker.run)
    if earlier is None:
        decision = speaker.post(post)
    elif earlier.tool_call_id == author.tool_call_id:
        return earlier
    else:
        decision = _replaced(earlier, author, post)
    if decision is not None:
        _put_actions(speaker, decision, next_actions)
    return decision


def decision_of(run: Run) -> BoardEntry | None:
    """Return what the run has decided so far."""
    return BoardEntry.objects.filter(run_id=run.pk, kind=BoardEntry.Kind.DECISION, group=run.group_id).first()


def _replaced(earlier: BoardEntry, author: Author, post: Post) -> BoardEntry:
    """Put another decision in the place of the run's earlier one, and drop what was to follow and nobody took up."""
    untouched = BoardEntry.objects.filter(
        run_id=earlier.run_id, tool_call_id=earlier.tool_call_id, part__gt=0, version=1
    )
    remove(list(untouched))
    try:
        changed = rewrite(earlier, by=author, text=post.text, details=dict(post.details))
    except OpenInternError as refusal:
        raise ToolError(refusal.message) from refusal
    BoardEntry.objects.filter(pk=changed.pk).update(tool_call_id=author.tool_call_id)
    changed.tool_call_id = author.tool_call_id
    return changed


def _put_actions(speaker: Speaker, decision: BoardEntry, next_actions: Sequence[str]) -> None:
    for part, action in enumerate(next_actions, 1):
        todo = Post(kind=BoardEntry.Kind.TODO, text=action, details={"decision": decision.pk}, part=part)
        speaker.post(todo)


def _team_of(run: Run) -> Mapping[str, Any] | None:
    """The team that the run is pinned to, or, for one member's own run, the run that it belongs to."""
    holders = [run.config, *([run.parent.config] if run.parent and run.parent.group_id == run.group_id else [])]
    team = next((config["team"] for config in holders if config.get("team")), None)
    return team if team and team["id"] == run.group_id else None


def with_refs(post: Post, refs: Sequence[Mapping[str, Any]]) -> Post:
    """Return a post with references, where there are any."""
    return replace(post, details={**post.details, "refs": list(refs)}) if refs else post
