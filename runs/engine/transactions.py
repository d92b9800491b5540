"""Every transaction of the engine, and what is written in it.

| transaction       | events                                                | and |
|-------------------|-------------------------------------------------------|-----|
| `count_losses`    |                                                       | how many workers died over it |
| `begin`           | `run.started` or `run.resumed`                        | the fencing number |
| `record_answer`   | `llm.called`, `tool.called`                           | the usage; a claim on every effect |
| `record_progress` | `tool.result`                                         | effects done, and those that begin |
| `finish_step`     | `tool.result`, `step.completed`, `step.started`       | effects done; the checkpoint; what comes next is reserved |
| `finish`          | `llm.called`, `step.completed`, `run.completed`       | the usage; the checkpoint; the ticket goes |
|                   | … or what begins the next turn                        | … the ticket stays |
| `wait_for_…`      | `run.waiting`                                         | the effect in doubt; the ticket is parked |
| `wait_for_answers` | `tool.result`, `run.waiting`                         | effects done, and those that are awaited; the ticket is parked |
| `hear_decisions`  | `tool.rejected` for what expired                      | effects that may begin |
| `fail`, `end_lost_turn` | `run.failed`, or what begins the next turn      | what was reserved is free; the ticket goes, or stays |

What happens between transactions can be lost, never repeated: a resumed run finds the recorded answer and doesn't
buy it again, and finds every effect done, not started, or in doubt (`runs.engine.effects`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from memory.models import Memory
from openintern.tenancy.models import Membership, Organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope
from runs import budgets
from runs.ending import end_children, end_overdue, end_with
from runs.engine import approval, batch, effects, limits, model_call, plan, taint
from runs.engine.batch import Planned, Result
from runs.engine.outcomes import Fail, Wait
from runs.engine.remembering import keep_what_stays, remember_run
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import Answer, ToolCall
from runs.models import Approval, Run
from runs.programs import Begin, Break, End, Ended, Move
from runs.queue import tickets
from runs.queue.claims import MAX_LOSSES, Claim
from runs.queue.models import Ticket
from runs.stop import Stop

_UNANSWERED = Draft(
    EventType.RUN_WARNING,
    {
        "code": "MESSAGE_UNANSWERED",
        "message": "A message came during the last answer that the run's limits allow; nothing answers it",
    },
)


def count_losses(claim: Claim) -> int:
    """Return how many workers died over the run since it last got on. Commits: the next one may die over its log."""
    if not claim.losses:
        return 0
    step = Run.objects.filter(pk=claim.run_id).values_list("step", flat=True).first()
    losses = claim.losses if step == claim.step_at_claim else 1
    mine = Ticket.objects.filter(pk=claim.ticket_id, attempt=claim.attempt)
    mine.update(losses=losses, step_at_claim=step or 0)
    return losses


@transaction.atomic
def begin(org: Organization, claim: Claim, *, stop: Stop, losses: int) -> Work | None:
    """Raise the fencing number, which shuts out every earlier attempt, and say that work begins or goes on.

    The run is read under the lock under which it is fenced, so nothing that an earlier attempt wrote is missed. The log
    of one that is to be given up for its `losses` isn't read: it may be what kills the workers.
    Returns None for a run that has ended or is gone.
    """
    run = (
        Run.objects.select_for_update(of=("self",))
        .select_related("session", "user", "project")
        .filter(pk=claim.run_id)
        .first()
    )
    if run is None or run.is_final:
        return None
    work = Work(run=run, scope=scope_of(org, run), stop=stop)
    if losses < MAX_LOSSES:
        work.load()
    else:
        work.known_seq = run.last_seq
    if run.last_seq == 0 or run.step == 0:
        drafts = [Draft(EventType.RUN_STARTED, {"input": run.input, "config": _public_config(work)}, step=0)]
        changes: dict[str, Any] = {"started_at": timezone.now(), "step": 1}
        if tainted := taint.of_beginning(run, earlier_ids=work.earlier_ids):
            drafts.append(replace(tainted.draft(), step=0))
            changes["taint"] = tainted.payload()
        first = work.program.opening(run)
        drafts += [] if work.turn.is_vacant else _opening(run, first, step=1)
    else:
        unsettled = run.effects.exclude(status__in=("done", "awaited")).count()
        payload = {
            "checkpoint_step_id": f"step_{run.step - 1:04d}",
            "orphaned_tool_calls": unsettled,
            "losses": losses,
        }
        drafts, changes, first = [Draft(EventType.RUN_RESUMED, payload)], {}, ()
    work.record(*drafts, takes_over=claim.attempt, status=Run.Status.RUNNING, **changes)
    if claim.attempt > 1:
        budgets.release(run)
    return work.next_turn() if first else work


def record_answer(
    work: Work, answer: Answer, planned: list[Planned], refused: list[Result], *, warnings: list[Draft]
) -> None:
    """Transaction 1: the answer is stored, and every effect claimed, before anything acts on it."""
    run = work.run
    reminded = _reminded(work)
    drafts = [
        *reminded,
        _llm_called(work, answer),
        *warnings,
        plan.batch_started(run, answer.tool_calls, planned),
        *plan.call_drafts(answer.tool_calls, planned, refused),
    ]
    with transaction.atomic():
        work.record(*drafts, **plan.usage_changes(run, answer))
        _note_reminded(reminded)
        effects.claim(run, batch.rounds(planned), begin=not any(one.asks for one in planned))
        approval.ask(run, work.turn, planned)
        _settle(work, answer)
        work.live.clear()


def record_progress(work: Work, results: list[Result], *, starting: list[Planned]) -> None:
    """Between two calls of which one can't be repeated: what is done is stored, what comes is marked as begun."""
    with transaction.atomic():
        if any(result.may_be_delivered for result in results):
            work.catch_up()
            results = effects.undelivered(work.run, results)
        work.record(*plan.result_drafts(results))
        effects.settle(work.run, results)
        effects.start(work.run, starting)


def wait_for_answers(work: Work, results: list[Result], *, order: Sequence[ToolCall]) -> bool:
    """Store what is known of the step's calls, and leave the run to whoever answers the others (`runs.delivery`).

    What was delivered meanwhile stands. Nobody is waited for longer than was said: then a worker takes the run up and
    the call has failed. Returns False, with everything stored, if there is nothing to wait for (any more).
    """
    run = work.run
    with transaction.atomic():
        work.catch_up()
        results = effects.undelivered(run, results)
        effects.settle(run, results)
        drafts = plan.result_drafts(results, order=order)
        overdue = effects.expire(run)
        end_overdue(work.scope, overdue, at=timezone.now())
        drafts += [plan.overdue_draft(row) for row in overdue]
        waits_for = effects.awaited(run)
        if waits_for:
            waiting = plan.waiting_for(waits_for)
            work.record(*drafts, waiting, status=Run.Status.WAITING, active_ms=work.active_ms())
            tickets.park(run, until=waits_for[0].awaits_until)
        elif drafts:
            work.record(*drafts)
    return bool(waits_for)


def finish_step(work: Work, answer: Answer, results: list[Result]) -> None:
    """Transaction 2: the results, the checkpoint, and the beginning of the next step."""
    run = work.run
    stored = [not event.payload["isError"] for event in work.step_events if event.type == EventType.TOOL_RESULT]
    drafts = [
        *plan.result_drafts(results, order=answer.tool_calls),
        plan.batch_completed(run, [*stored, *(not result.error for result in results)], duration_ms=work.step_ms()),
        _step_completed(work, "tool_call"),
        *_next_step(work),
    ]
    with transaction.atomic():
        events = work.record(
            *drafts,
            step=run.step + 1,
            tool_call_count=run.tool_call_count + len(answer.tool_calls),
            active_ms=work.active_ms(),
        )
        effects.settle(run, results)
        work.checkpoint(events)
        if work.turn.allows(run.step):
            model_call.hold_ahead(work)


def hand_back(work: Work) -> None:
    """Let another worker go on with the run, for which nothing stays reserved meanwhile."""
    with transaction.atomic():
        if work.held is not None:
            work.lock()
            budgets.release(work.run)
        tickets.release(work.run)


def finish(work: Work, answer: Answer) -> Work | None:
    """Store the final answer of a turn, and with the last turn's end the run; return what there is to go on with.

    If somebody spoke meanwhile, that is the same turn. Where it may ask no more, its answer stands, and if no other
    turn follows, a warning says that the message has none.
    """
    run = work.run
    reminded = _reminded(work)
    called = [*reminded, _llm_called(work, answer)]
    usage = plan.usage_changes(run, answer)
    with transaction.atomic():
        has_news = work.has_news()
        if has_news and limits.allow_another_step(work, answer.usage):
            move = None
            drafts = [*called, _step_completed(work, "continue"), *_next_step(work)]
            changes: dict[str, Any] = {"step": run.step + 1}
        else:
            move = work.program.after(run, work.turn, Ended(at=timezone.now(), text=answer.text, **usage))
            following, changes = _following(work, move)
            unanswered = [_UNANSWERED] if has_news and not isinstance(move, Begin) else []
            drafts = [*called, *unanswered, _step_completed(work, "final_answer"), *following]
        events = work.record(*drafts, active_ms=work.active_ms(), **usage, **changes)
        work.checkpoint(events)
        _note_reminded(reminded)
        _settle(work, answer)
        work.live.clear()
        return _go_on(work, move) if move else work


def fail(work: Work, failure: Fail) -> Work | None:
    """End a turn without an answer, and with it the run, unless its program has another turn; return the work on that."""
    run = work.run
    with transaction.atomic():
        work.lock()
        usage = {name: getattr(run, name) for name in ("prompt_tokens", "completion_tokens", "cost")}
        ended = Ended(at=timezone.now(), failure=failure, **usage)
        move = _broken_off(work, ended, failure) if failure.ends_run else work.program.after(run, work.turn, ended)
        drafts, changes = _following(work, move)
        work.record(*drafts, active_ms=work.active_ms(), **changes)
        budgets.release(run)
        work.held = None
        work.live.clear()
        return _go_on(work, move)


def end_lost_turn(work: Work, failure: Fail) -> Work | None:
    """End the turn of an agent that takes its workers down; return the work on another's, if its program has one.

    The turn's own log, which isn't loaded, may be what kills them: only whose turn it is is read. Should that be it, the
    next worker finds one loss more, and gives up the run. What the turn had begun is called off; the calls that it died
    over keep the state of which nobody knows more.
    """
    run = work.run
    with transaction.atomic():
        work.lock()
        work.turn = work.program.turn(run)
        following = fail(work, replace(failure, ends_run=work.turn.is_vacant))
        if following is not None:
            Approval.objects.withdraw(run)
            end_children(work.scope, run, at=timezone.now())
        return following


def _broken_off(work: Work, ended: Ended, failure: Fail) -> Break:
    """Return the end of the run, in whoever's turn it is."""
    return Break(closing=() if failure.is_blind else work.program.cut_short(work.run, ended), failure=failure)


def move_on(work: Work, move: Move) -> Work | None:
    """Go on where it was nobody's turn, in the caller's transaction, which has locked the run."""
    drafts, changes = _following(work, move)
    work.record(*drafts, active_ms=work.active_ms(), **changes)
    return _go_on(work, move)


def _following(work: Work, move: Move) -> tuple[list[Draft], dict[str, Any]]:
    """Return the events with which a turn is closed and what comes next begins, and how the run changes with them."""
    run, closing = work.run, list(move.closing)
    match move:
        case Begin(opening=opening):
            has_begun = work.turn.allows(run.step) and not work.turn.is_vacant  # one that it wasn't allowed hasn't
            step = run.step + has_begun
            return [*closing, *_opening(run, opening, step=step)], {"step": step}
        case End(output=output):
            ended = Draft(EventType.RUN_COMPLETED, {"output": output, "duration_ms": _duration_ms(run)})
            changes = {"status": Run.Status.COMPLETED, "output": output, "ended_at": timezone.now()}
            return [*closing, ended], changes
        case Break(failure=failure):
            error: dict[str, Any] = {"code": failure.code, "message": failure.message}
            if failure.details:
                error["details"] = failure.details
            ended = Draft(EventType.RUN_FAILED, {"error": error, "duration_ms": _duration_ms(run)})
            return [*closing, ended], {"status": Run.Status.FAILED, "error": error, "ended_at": timezone.now()}


def _opening(run: Run, first: Sequence[Draft], *, step: int) -> list[Draft]:
    """The first events of a turn and of its first step, if the agent may take any."""
    drafts = [replace(draft, step=step) for draft in first]
    agent_id = drafts[-1].agent_id if drafts else ""
    if run.config["max_steps"] > 0:
        drafts.append(Draft(EventType.STEP_STARTED, {"stepNumber": step}, step=step, agent_id=agent_id))
    return drafts


def _go_on(work: Work, move: Move) -> Work | None:
    """Take up the turn that has begun, or clear away what a run that has ended doesn't need any more."""
    match move:
        case Begin():
            following = work.next_turn()
            model_call.hold_ahead(following)
            return following
        case End():
            remember_run(work.run)
        case Break():
            Approval.objects.withdraw(work.run)
    keep_what_stays(work.run)
    end_with(work.scope, work.run, at=timezone.now())
    tickets.close(work.run)
    return None


def wait_for_settlement(work: Work, wait: Wait) -> None:
    """Leave the run to a person who finds out what a call has done: it holds no worker, and keeps its place."""
    with transaction.atomic():
        _record_waiting(work, wait)
        effects.doubt(work.run, wait.tool_call_id)
        tickets.park(work.run)


def wait_for_approval(work: Work, wait: Wait) -> None:
    """Leave the run to a person who decides, at most until the first question expires: then a worker takes it up."""
    with transaction.atomic():
        _record_waiting(work, wait)
        tickets.park(work.run, until=approval.next_expiry(work.run))


def hear_decisions(work: Work, planned: list[Planned]) -> approval.Judged:
    """On waking: close the questions whose time is over, and begin what may be begun."""
    with transaction.atomic():
        work.lock()
        if expired := approval.expire(work.run):
            work.record(*expired)
        judged = approval.judge(work.run, work.turn, planned)
        if not judged.pending:
            effects.start_planned(work.run, judged.go)
    return judged


def _record_waiting(work: Work, wait: Wait) -> None:
    payload = {"reason": wait.reason, "message": wait.message, "tool_call_id": wait.tool_call_id}
    work.record(Draft(EventType.RUN_WAITING, payload), status=Run.Status.WAITING, active_ms=work.active_ms())


def scope_of(org: Organization, run: Run) -> Scope:
    """Return in whose name the run acts. Somebody who has left keeps a name, but no rights (see `limits`)."""
    membership = Membership.objects.filter(organization=org, user=run.user, user__is_active=True).first()
    return Scope(
        org=org,
        user=run.user,
        role=Role(membership.role) if membership else Role.VIEWER,
        project=run.project,
        via="run",
    )


def _settle(work: Work, answer: Answer) -> None:
    budgets.settle(work.run, answer.usage, held=work.held, at=timezone.now())
    work.held = None


def _reminded(work: Work) -> list[Draft]:
    """What the model was reminded of, if the log doesn't say so already."""
    if work.recalled is None or work.recalled.ids == work.reminded_of:
        return []
    work.reminded_of = work.recalled.ids
    return [work.recalled.draft()]


def _note_reminded(reminded: list[Draft]) -> None:
    """Let the memories know that they were needed, in the transaction that logs it."""
    memories: Any = Memory.objects
    for draft in reminded:
        memories.filter(pk__in=[hit["id"] for hit in draft.payload["hits"]]).note_recalled(at=timezone.now())


def _llm_called(work: Work, answer: Answer) -> Draft:
    return plan.llm_called(
        work.run,
        answer,
        duration_ms=work.answered_in_ms,
        heard_seq=work.heard_seq,
        estimated_tokens=work.estimated_tokens,
    )


def _step_completed(work: Work, result_type: str) -> Draft:
    return Draft(
        EventType.STEP_COMPLETED,
        {"stepNumber": work.run.step, "resultType": result_type, "duration_ms": work.step_ms()},
    )


def _next_step(work: Work) -> list[Draft]:
    """The start of the next step, unless the agent may have no more."""
    number = work.run.step + 1
    return [Draft(EventType.STEP_STARTED, {"stepNumber": number}, step=number)] if work.turn.allows(number) else []


def _public_config(work: Work) -> dict[str, Any]:
    run = work.run
    model = run.config["model"]
    return {
        "role": run.config.get("role"),
        "provider": model["provider"],
        "model": model["model"],
        "max_steps": run.config["max_steps"],
        "timeout_ms": run.config["timeout_ms"],
        **work.program.told(run),
    }


def _duration_ms(run: Run) -> int | None:
    return round((timezone.now() - run.started_at).total_seconds() * 1000) if run.started_at else None
