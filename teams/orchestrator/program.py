"""What the engine asks of a team's run; see `runs.programs.Program`. All of it is read from the run and its log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runs.engine.turn import Turn
from runs.events import Draft
from runs.models import Event, Run
from runs.programs import Ended, Move, Scatter
from teams.orchestrator import gathering, moves, telling
from teams.orchestrator.state import TELLING, State, fold
from teams.orchestrator.team import Team


class Orchestrator:
    """Has the members of a team work one after the other, or beside each other, the lead at the end."""

    def opening(self, run: Run) -> tuple[Draft, ...]:
        """Return the beginning of the first member's turn."""
        team = Team.of(run.config)
        return () if team.is_parallel else (moves.first(team, task=run.input),)

    def told(self, run: Run) -> dict[str, Any]:
        """Return which team it is."""
        team = Team.of(run.config)
        return {"group_id": team.id, "member_count": len(team.members), "max_rounds": team.max_rounds}

    def turn(self, run: Run) -> Turn:
        """Return the turn of the member that began last; before the first, one that nobody works in."""
        team, state = Team.of(run.config), state_of(run)
        if state.now is None:
            return replace(Turn.whole(run), is_vacant=team.is_parallel)
        member = team.member(state.now.agent_id)
        return Turn(
            agent_id=member.agent_id,
            config={**run.config, **member.config},
            first_seq=state.now.seq,
            first_step=state.now.step,
            brief=telling.brief(team, state, member),
        )

    def after(self, run: Run, turn: Turn, ended: Ended) -> Move:
        """Return what follows the turn of the member that began last."""
        return moves.following(Team.of(run.config), state_of(run), ended, task=run.input)

    def cut_short(self, run: Run, ended: Ended) -> tuple[Draft, ...]:
        """Return the failure of the member at work, and of those who work beside each other."""
        return gathering.cut_short(Team.of(run.config), state_of(run), ended)

    def gather(self, run: Run) -> Move | Scatter | None:
        """Return what follows while the members work beside each other."""
        return gathering.gathering(Team.of(run.config), state_of(run), run)

    def arrival(self, run: Run, part: Run) -> tuple[Draft, ...]:
        """Return what a member came to in its own run."""
        return gathering.arrival(Team.of(run.config), state_of(run), part)


def state_of(run: Run) -> State:
    """Return how far the team is, by the log."""
    told = Event.objects.filter(run=run, type__in=TELLING).order_by("seq")
    return fold(Team.of(run.config), told)
