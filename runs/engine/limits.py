"""What a run may use up, and when it is refused more. Each limit has a code of its own."""

from __future__ import annotations

from decimal import Decimal

from openintern.tenancy.models import Membership
from runs.engine.outcomes import Fail
from runs.engine.turn import Turn
from runs.engine.work import Work
from runs.family import family_of
from runs.llm.types import Usage
from runs.models import Run
from runs.queue.claims import MAX_LOSSES


def before_work(work: Work, *, losses: int) -> Fail | None:
    """Say why an attempt shouldn't go on: its person has gone, or it takes its workers down."""
    run = work.run
    if losses >= MAX_LOSSES:
        message = f"The worker died {losses} times in a row at step {run.step}"
        is_given_up = losses > MAX_LOSSES  # also who wanted to end the turn alone has died over it
        return Fail("WORKER_LOST", message, ends_run=is_given_up, is_blind=is_given_up)
    if not Membership.objects.filter(organization=work.scope.org, user=run.user, user__is_active=True).exists():
        return Fail("FORBIDDEN", "The person this run belongs to is no longer a member", ends_run=True)
    return None


def before_model_call(work: Work) -> Fail | None:
    """Say which limit the next model call would pass, or that it would get the run nowhere."""
    used, cost = _used(work)
    return work.track.dead_end() or _passed(work.run, work.turn, step=work.run.step, tokens=used, cost=cost)


def allow_another_step(work: Work, usage: Usage) -> bool:
    """Whether the agent may ask once more after the answer, not stored yet, that used this much."""
    used, cost = _used(work)
    used += usage.prompt_tokens + usage.completion_tokens
    return _passed(work.run, work.turn, step=work.run.step + 1, tokens=used, cost=cost + (usage.cost or 0)) is None


def _used(work: Work) -> tuple[int, Decimal]:
    """What counts against the limits in tokens and money: of a task that several runs work on, what all have used."""
    run = work.run
    if not work.shares_limits:
        return run.prompt_tokens + run.completion_tokens, run.cost
    together = family_of(run)
    return together.tokens, together.cost


def _passed(run: Run, turn: Turn, *, step: int, tokens: int, cost: Decimal) -> Fail | None:
    """Steps are counted by turn; tokens and money are the run's."""
    config = run.config
    if not turn.allows(step):
        return Fail("MAX_STEPS_REACHED", f"Max steps ({turn.config['max_steps']}) reached")
    if config["max_tokens"] and tokens >= config["max_tokens"]:
        message = f"Run has used {tokens} of {config['max_tokens']} tokens"
        return Fail("TOKEN_LIMIT_REACHED", message, ends_run=True)
    if config["max_cost"] is not None and cost >= Decimal(config["max_cost"]):
        return Fail("COST_LIMIT_REACHED", f"Run has cost {cost} of {config['max_cost']} USD", ends_run=True)
    return None
