"""What a run may use up, and when it is refused more. Each limit has a code of its own."""

from __future__ import annotations

from decimal import Decimal

from openintern.tenancy.models import Membership
from runs.engine.outcomes import Fail
from runs.engine.work import Work
from runs.queue.claims import MAX_LOSSES


def before_work(work: Work, *, losses: int) -> Fail | None:
    """Say why an attempt shouldn't go on: its person has gone, or it takes its workers down."""
    run = work.run
    if losses >= MAX_LOSSES:
        return Fail("WORKER_LOST", f"The worker died {losses} times in a row at step {run.step}")
    if not Membership.objects.filter(organization=work.scope.org, user=run.user, user__is_active=True).exists():
        return Fail("FORBIDDEN", "The person this run belongs to is no longer a member")
    return None


def before_model_call(work: Work) -> Fail | None:
    """Say which limit the next model call would pass, or that it would get the run nowhere."""
    run, config = work.run, work.run.config
    if dead_end := work.track.dead_end():
        return dead_end
    if run.step > config["max_steps"]:
        return Fail("MAX_STEPS_REACHED", f"Max steps ({config['max_steps']}) reached")
    used = run.prompt_tokens + run.completion_tokens
    if config["max_tokens"] and used >= config["max_tokens"]:
        return Fail("TOKEN_LIMIT_REACHED", f"Run has used {used} of {config['max_tokens']} tokens")
    if config["max_cost"] is not None and run.cost >= Decimal(config["max_cost"]):
        return Fail("COST_LIMIT_REACHED", f"Run has cost {run.cost} of {config['max_cost']} USD")
    return None
