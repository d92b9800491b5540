"""What follows a turn that ended. A function of the team, of what the log says, and of how the turn ended; no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from openintern.text import shorten
from runs.engine.outcomes import Fail
from runs.events import Draft, EventType
from runs.programs import Begin, Break, End, Ended, Move
from teams.orchestrator.state import State, agenda, fold
from teams.orchestrator.team import PinnedMember, Team

FAILED: Final = "ORCHESTRATOR_ERROR"  # the code of a run whose team can't come to an answer
_LONGEST_TASK: Final = 500
_MOST_EVIDENCE: Final = 100
_SILENT = Fail("EMPTY_ANSWER", "The model answered nothing")


@dataclass
class _Written:
    """A draft as the event that it will be."""

    seq: int
    step: int
    type: str
    agent_id: str
    payload: dict[str, Any]
    at: datetime


def first(team: Team, *, task: str) -> Draft:
    """Return what the team's first turn begins with."""
    return begun(team, State(), agenda(team)[0], number=1, task=task)


def following(team: Team, state: State, ended: Ended, *, task: str) -> Move:
    """Return what the end of the turn that is `state.now` leads to."""
    member, number = _at_work(team, state)
    failure = ended.failure
    if failure is None and member.is_lead and not ended.text.strip() and not _goes_back(team, state):
        failure = _SILENT
    if failure is None:
        closing = [_completed(member, state, ended)]
        return _onward(team, _with(team, state, closing, ended.at), member, closing=closing, task=task, ended=ended)
    again = team.on_member_failure == "retry" and state.tries == 1
    closing = [member_failed(member, state, ended, failure, again=again)]
    later = _with(team, state, closing, ended.at)
    if again:
        return Begin(closing=tuple(closing), opening=(begun(team, later, member.agent_id, number=number, task=task),))
    if failure is _SILENT and _may_begin_anew(team, number):
        return _anew(team, later, number=number + 1, closing=closing, task=task)
    if team.on_member_failure == "fail" or member.is_lead:
        return Break(closing=tuple(closing), failure=because_of(member, failure))
    return _onward(team, later, member, closing=closing, task=task, ended=ended)


def begun(team: Team, state: State, agent_id: str, *, number: int, task: str) -> Draft:
    """Return the event with which a member's turn begins; `task` is that of the run."""
    member = team.member(agent_id)
    asked = "\n".join(one.text for one in state.asked_of(agent_id))
    payload = {
        "memberId": member.id,
        "agentId": agent_id,
        "role": member.name,
        "isLead": member.is_lead,
        "round": number,
        "ordinal": team.members.index(member),
        "task": shorten(asked or task, _LONGEST_TASK),
        "handedOn": [one.agent_id for one in state.spoken()],
    }
    return Draft(EventType.MEMBER_STARTED, payload, agent_id=agent_id)


def _onward(team: Team, state: State, member: PinnedMember, *, closing: list[Draft], task: str, ended: Ended) -> Move:
    """Go on to the next of the round, to the next round, or to the end."""
    _, number = _at_work(team, state)
    if state.due:
        opening = begun(team, state, state.due[0], number=number, task=task)
        return Begin(closing=tuple(closing), opening=(opening,))
    if asked := _goes_back(team, state):
        opening = begun(team, state, agenda(team, asked)[0], number=number + 1, task=task)
        return Begin(closing=tuple(closing), opening=(opening,))
    if member.is_lead:
        closing += [] if _has_decided(state) else [_decision(team, state, ended.text)]
        return End(closing=tuple(closing), output=ended.text)
    spoken = state.spoken()
    if not spoken and _may_begin_anew(team, number):
        return _anew(team, state, number=number + 1, closing=closing, task=task)
    if not spoken:
        return Break(closing=tuple(closing), failure=Fail(FAILED, "No member of the team said anything"))
    return End(closing=tuple(closing), output=spoken[-1].text)


def _may_begin_anew(team: Team, number: int) -> bool:
    """Whether a round that came to nothing may be followed by another one of everybody."""
    return number < team.max_rounds and team.on_member_failure != "fail"


def _anew(team: Team, state: State, *, number: int, closing: list[Draft], task: str) -> Move:
    opening = begun(team, state, agenda(team)[0], number=number, task=task)
    return Begin(closing=tuple(closing), opening=(opening,))


def _goes_back(team: Team, state: State) -> tuple[str, ...]:
    """Who has to work again because the lead, whose turn it was, wants more; nobody once the rounds are used up."""
    _, number = _at_work(team, state)
    return state.sent_back(team) if number < team.max_rounds else ()


def _at_work(team: Team, state: State) -> tuple[PinnedMember, int]:
    if state.now is None:
        raise ValueError("nobody's turn has begun")
    return team.member(state.now.agent_id), state.now.round


def _with(team: Team, state: State, drafts: Sequence[Draft], at: datetime) -> State:
    """Return the state as it will be when the drafts are written."""
    written = [_Written(2**62, 0, draft.type, draft.agent_id, draft.payload, at) for draft in drafts]
    return fold(team, written, state)


def _completed(member: PinnedMember, state: State, ended: Ended) -> Draft:
    payload = {**_about(member, state), "output": ended.text, **_spent(state, ended)}
    return Draft(EventType.MEMBER_COMPLETED, payload, agent_id=member.agent_id)


def member_failed(member: PinnedMember, state: State, ended: Ended, failure: Fail, *, again: bool) -> Draft:
    """Return the end of the turn under way, that of `member`, without a contribution."""
    why = {"code": failure.code, "message": failure.message, "willRetry": again}
    return Draft(
        EventType.MEMBER_FAILED, {**_about(member, state), **why, **_spent(state, ended)}, agent_id=member.agent_id
    )


def _about(member: PinnedMember, state: State) -> dict[str, Any]:
    number = state.now.round if state.now else 0
    return {
        "memberId": member.id,
        "agentId": member.agent_id,
        "role": member.name,
        "isLead": member.is_lead,
        "round": number,
    }


def _spent(state: State, ended: Ended) -> dict[str, Any]:
    """What the turn took: all that the run has used, but for what its earlier turns did."""
    begun_at = state.now.at if state.now else ended.at
    return {
        "durationMs": round((ended.at - begun_at).total_seconds() * 1000),
        "promptTokens": ended.prompt_tokens - state.prompt_tokens,
        "completionTokens": ended.completion_tokens - state.completion_tokens,
        "cost": str(ended.cost - state.cost),
    }


def _has_decided(state: State) -> bool:
    return state.now is not None and state.decided_seq > state.now.seq


def _decision(team: Team, state: State, text: str) -> Draft:
    """The lead's answer as a decision, where it has written none itself."""
    _, number = _at_work(team, state)
    heard = {one.agent_id for one in state.spoken()}
    others = sum(member.agent_id in heard for member in team.others)
    agent_id = state.now.agent_id if state.now else ""
    payload = {
        "decision": text,
        "rationale": f"Decided in round {number} on what {others} of {len(team.others)} other members contributed",
        "evidence": list(state.evidence[-_MOST_EVIDENCE:]),
        "nextActions": [],
        "refs": [],
        "from": agent_id,
        "role": team.lead.name if team.lead else "",
    }
    return Draft(EventType.MESSAGE_DECISION, payload, agent_id=agent_id)


def because_of(member: PinnedMember, failure: Fail) -> Fail:
    """Return the failure of a run that fails because a member did."""
    who = "The lead" if member.is_lead else "A member"
    details = {"memberId": member.id, "agentId": member.agent_id, "role": member.name, "code": failure.code}
    return Fail(FAILED, f"{who}, {member.name}, failed: {failure.message}", details)
