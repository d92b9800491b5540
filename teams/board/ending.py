"""What a team's run leaves on the board when it ends, in the transaction that ends it: so once, whatever crashes.

What members posted is there already; it learns by which events it was said. A decision that the run came to without
its lead having put it down is put down now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from memory.models import Memory, Trust
from memory.owners import Owner
from runs.events import EventType
from runs.models import Event, Run
from teams.board.entries import Author, Post, rewrite, write
from teams.board.speaking import decision_of
from teams.models import AgentInstance, BoardEntry, Group

_POSTED: Final = (EventType.MESSAGE_PROPOSAL, EventType.MESSAGE_EVIDENCE, EventType.MESSAGE_DECISION)
_LONGEST: Final = 8_000


def keep(run: Run) -> None:
    """Complete the board with what a run of its group has said."""
    if not run.group_id or not Group.objects.filter(pk=run.group_id).exists():
        return
    said = list(Event.objects.filter(run=run, type__in=_POSTED).order_by("seq"))
    last = said[-1] if said else None
    if last and last.type == EventType.MESSAGE_DECISION and "entryId" not in last.payload:
        _put_down(run, last)
    _note_sources(run, said)


def _put_down(run: Run, event: Event) -> None:
    told = event.payload
    evidence = [one["entryId"] for one in told.get("evidence", ()) if one.get("entryId")]
    details = {"rationale": told.get("rationale"), "evidence": evidence, "refs": told.get("refs")}
    kept = {name: value for name, value in details.items() if value}
    author = _author(run, event)
    text = str(told["decision"])[:_LONGEST]
    earlier = decision_of(run)
    if earlier is not None:
        rewrite(earlier, by=author, text=text, details=kept)
        BoardEntry.objects.filter(pk=earlier.pk).update(event_seq=event.seq)
        return
    write(run.group_id, author, Post(kind=BoardEntry.Kind.DECISION, text=text, details=kept, event_seq=event.seq))
    for part, action in enumerate(told.get("nextActions", ()), 1):
        todo = Post(kind=BoardEntry.Kind.TODO, text=str(action)[:_LONGEST], event_seq=event.seq, part=part)
        write(run.group_id, author, todo)


def _author(run: Run, event: Event) -> Author:
    """Whose decision it is; what is written is found again by the run and the event."""
    member = _seat(run, event.agent_id)
    known = AgentInstance.objects.filter(pk=event.agent_id).exists()
    return Author(
        agent_id=event.agent_id if known else "",
        role_name=str(member.get("name", "")),
        run_id=run.pk,
        tool_call_id=f"event:{event.seq}",
        trust=Trust.OUTSIDE if run.taint else Trust.DERIVED,
    )


def _seat(run: Run, agent_id: str) -> Mapping[str, Any]:
    members = (run.config.get("team") or {}).get("members", ())
    return next((one for one in members if one["agent_id"] == agent_id), {})


def _note_sources(run: Run, said: list[Event]) -> None:
    """Let each entry, and its memory, know by which event of the run it was said; to-dos by that of their decision."""
    by_entry = {event.payload["entryId"]: event.seq for event in said if "entryId" in event.payload}
    entries = list(BoardEntry.objects.filter(run_id=run.pk, event_seq=None))
    for entry in entries:
        entry.event_seq = by_entry.get(entry.pk) or by_entry.get(entry.details.get("decision", ""))
    told = [entry for entry in entries if entry.event_seq is not None]
    BoardEntry.objects.bulk_update(told, ["event_seq"])
    numbers = {entry.source_key: entry.event_seq for entry in told}
    everything: Any = Memory.objects
    memories = list(everything.of(Owner(board=run.group_id)).current().filter(source_key__in=numbers))
    for memory in memories:
        memory.event_seq = numbers[memory.source_key]
    Memory.objects.bulk_update(memories, ["event_seq"])
