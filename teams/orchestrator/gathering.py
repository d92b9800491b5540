"""Members that work beside each other: who is sent to work, when it is enough, and what follows.

It is so in the first round alone: whom the lead sends work back to works in the team's own run, one after the other.

| what has come                                | what follows                                                 |
|----------------------------------------------|--------------------------------------------------------------|
| nothing: nobody was sent                     | all but the lead go to work                                  |
| a failure, where members may not fail        | the run fails                                                |
| as many answers as the quorum says           | the lead's turn; who is late is told that it isn't needed    |
| a first failure, where it is tried again     | that member goes to work once more                           |
| an end of everybody                          | the lead's turn                                              |
| less                                         | the run waits                                                |
"""

from __future__ import annotations

from typing import Any, Final

from runs.ending import CANCELLED
from runs.engine.outcomes import Fail
from runs.events import Draft, EventType
from runs.models import Event, Run
from runs.pinning import TEAM
from runs.programs import Begin, Break, End, Ended, Move, Part, Scatter
from teams.orchestrator.moves import FAILED, because_of, begun, member_failed
from teams.orchestrator.state import Contribution, State
from teams.orchestrator.team import PinnedMember, Team

NOT_NEEDED: Final = "NOT_NEEDED"
_LATE: Final = Fail(NOT_NEEDED, "The team went on without it")
_ROUND: Final = 1
_MOST_SAID: Final = 100  # pieces of evidence, and of requests, that one member's run is heard with


def gathering(team: Team, state: State, run: Run) -> Move | Scatter | None:
    """Return what follows, before anybody's turn; None while the run has to wait."""
    if not state.parts:
        return _sending(team, state, run, team.others)
    latest = {one.agent_id: one for one in state.contributions}
    failed = [one for one in latest.values() if one.failure]
    if team.on_member_failure == "fail" and failed:
        return Break(closing=_called_off(team, state, _LATE), failure=_failure(team, failed[0]))
    answered = sum(not one.failure for one in latest.values())
    if team.quorum is not None and answered >= min(team.quorum, len(team.others)):
        return _onward(team, state, run)
    if again := [team.member(one.agent_id) for one in failed if one.again and one.agent_id not in state.away]:
        return _sending(team, state, run, tuple(again))
    return None if state.away else _onward(team, state, run)


def arrival(team: Team, state: State, part: Run) -> tuple[Draft, ...]:
    """Return what is to be said of a member's run that has ended; nothing if it isn't waited for (any more)."""
    if state.away.get(part.agent_id) != part.pk:
        return ()
    member = team.member(part.agent_id)
    payload = {**_about(member, part.pk), **_spent(part), **_said(part)}
    if part.status == Run.Status.COMPLETED:
        told = {**payload, "output": part.output or ""}
        return (Draft(EventType.MEMBER_COMPLETED, told, agent_id=part.agent_id),)
    error = part.error or {"code": CANCELLED, "message": "Its run was cancelled"}
    is_first = state.parts.get(part.agent_id, 0) == 1 and part.status == Run.Status.FAILED
    why = {
        "code": error["code"],
        "message": error["message"],
        "willRetry": is_first and team.on_member_failure == "retry",
    }
    return (Draft(EventType.MEMBER_FAILED, {**payload, **why}, agent_id=part.agent_id),)


def _sending(team: Team, state: State, run: Run, members: tuple[PinnedMember, ...]) -> Scatter:
    parts = [
        Part(
            agent_id=member.agent_id,
            config={**{name: value for name, value in run.config.items() if name != TEAM}, **member.config},
            begun=begun(team, state, member.agent_id, number=_ROUND, task=run.input),
        )
        for member in members
    ]
    return Scatter(parts=tuple(parts))


def _onward(team: Team, state: State, run: Run) -> Move:
    closing = _called_off(team, state, _LATE)
    if team.lead is not None:
        opening = begun(team, state, team.lead.agent_id, number=_ROUND, task=run.input)
        return Begin(closing=closing, opening=(opening,))
    spoken = state.spoken()
    if not spoken:
        return Break(closing=closing, failure=Fail(FAILED, "No member of the team said anything"))
    return End(closing=closing, output=spoken[-1].text)


def cut_short(team: Team, state: State, ended: Ended) -> tuple[Draft, ...]:
    """Return how the turns end that are under way when the team's run ends before its time."""
    failure = ended.failure
    if failure is None:
        return ()
    at_work = (
        []
        if state.now is None
        else [member_failed(team.member(state.now.agent_id), state, ended, failure, again=False)]
    )
    return (*at_work, *_called_off(team, state, failure))


def _called_off(team: Team, state: State, because: Fail) -> tuple[Draft, ...]:
    """Whom nobody waits for any more: the run of each ends with what follows."""
    why = {"code": because.code, "message": because.message, "willRetry": False}
    return tuple(
        Draft(EventType.MEMBER_FAILED, {**_about(team.member(agent_id), run_id), **why}, agent_id=agent_id)
        for agent_id, run_id in state.away.items()
    )


def _failure(team: Team, one: Contribution) -> Fail:
    message, _, code = one.failure.rpartition(" (")
    return because_of(team.member(one.agent_id), Fail(code.rstrip(")"), message))


def _about(member: PinnedMember, run_id: str) -> dict[str, Any]:
    about = {"memberId": member.id, "agentId": member.agent_id, "role": member.name, "isLead": member.is_lead}
    return {**about, "round": _ROUND, "runId": run_id}


def _spent(part: Run) -> dict[str, Any]:
    return {
        "durationMs": part.duration_ms or 0,
        "promptTokens": part.prompt_tokens,
        "completionTokens": part.completion_tokens,
        "cost": str(part.cost),
    }


def _said(part: Run) -> dict[str, Any]:
    """What a member put before the team in its own run: the evidence, and what it asked of others."""
    types = (EventType.MESSAGE_EVIDENCE, EventType.MESSAGE_TASK)
    told = list(Event.objects.filter(run=part, type__in=types).order_by("seq")[: 2 * _MOST_SAID])
    evidence = [_evidence(event) for event in told if event.type == EventType.MESSAGE_EVIDENCE]
    asked = [
        {"to": str(event.payload.get("to", "")), "text": str(event.payload.get("text", ""))[:2_000]}
        for event in told
        if event.type == EventType.MESSAGE_TASK
    ]
    return {"evidence": evidence[:_MOST_SAID], "asked": asked[:20]}


def _evidence(event: Event) -> dict[str, Any]:
    entry = event.payload.get("entryId")
    return {"entryId": entry} if entry else {"run_id": event.run_id, "seq": event.seq}
