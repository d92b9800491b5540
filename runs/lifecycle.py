"""What people do to runs: start them, stop them, speak to them. Pages, API, admin and commands all call these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction

from memory.forgetting import forget_from
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.redaction import redact_text
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from openintern.text import is_storable, shorten
from runs import idempotency, log
from runs.briefs import TeamBrief, team_of
from runs.ending import cancel
from runs.events import Draft, EventType
from runs.files.attachments import attach
from runs.models import DEFAULT_AGENT, DEFAULT_SESSION_KEY, SESSION_KEY_PATTERN, Approval, Run, Session
from runs.multitask import Strategy, make_room
from runs.pace import require_patience
from runs.pinning import current, differences, pin, pin_team
from runs.provenance import PassedOn, Talk
from runs.queue import tickets
from runs.tools import policy
from runs.tools.policy import Lists, Mandate

_AGENT_ID = re.compile(r"[\w.:-]{1,100}")
#: How the ids of roles begin. An agent of that name is the role, and nobody else passes for it.
ROLE_PREFIX = "role_"
#: What stands before the id of a group where its team is named as an agent.
GROUP_PREFIX = "group:"
#: How the ids of the agents begin that work in teams. They work nowhere else: what one was granted is its own.
INSTANCE_PREFIX = "agent_"


@transaction.atomic
def create_run(  # noqa: PLR0913  all that a task can say
    scope: Scope,
    *,
    text: str,
    at: datetime,
    session_key: str = DEFAULT_SESSION_KEY,
    agent_id: str = DEFAULT_AGENT,
    role_id: str = "",
    group_id: str = "",
    llm_config: dict[str, Any] | None = None,
    multitask_strategy: str = Strategy.ENQUEUE,
    attachments: Sequence[str] = (),
    idempotency_key: str | None = None,
    delegated: Lists | None = None,
    talk: Talk | None = None,
    passed_on: PassedOn | None = None,
) -> Run:
    """Accept a task: the run, its ticket, the audit row and the workers' wake-up commit together.

    With `group_id`, a team works on it: in the group's project, if it has one. `attachments` are ids of uploads;
    `delegated` narrows what the run may do. A second call with the same `idempotency_key` returns the run of the first.
    Raises VALIDATION_ERROR for an empty task, a bad key, an upload that isn't one's own, or a model the operator doesn't
    allow; THROTTLED for too many in a minute; NOT_FOUND for a role or group that isn't there; CONFLICT and
    IDEMPOTENCY_MISMATCH as `runs.multitask` and `runs.idempotency` say.
    """
    told = {
        "text": text,
        "session": session_key,
        "agent": agent_id,
        "llm": llm_config,
        "attachments": list(attachments),
    }
    told |= {name: given for name, given in (("role", role_id), ("group", group_id)) if given}
    asked = idempotency.digest(told | (talk.told() if talk else {}))
    if idempotency_key and (earlier := idempotency.earlier_run(scope, idempotency_key, request_digest=asked)):
        return earlier
    if passed_on is None:
        require_patience(scope)
    _check_text("input", text)
    _check_names(session_key=session_key, agent_id=agent_id)
    text = redact_text(text)
    agent_id, role_id, group_id = _agent(agent_id, role_id, group_id)
    if group_id:
        team = _team(scope, group_id, passed_on=passed_on)
        scope = replace(scope, project=team.project or scope.project)
        config = pin_team(team, llm_config, delegated=delegated or Lists())
    else:
        config = pin(role_id, llm_config, delegated=delegated or Lists())
    if passed_on is None:
        session = _open_session(scope, session_key, title=text, at=at)
        make_room(scope, session, strategy=multitask_strategy, at=at)
    else:
        session = passed_on.by.session
    config |= {"attachments": attach(scope, attachments)} | (talk.config() if talk else {})
    config |= passed_on.config if passed_on else {}
    run = Run.objects.create(
        session=session,
        user=scope.user,
        project=scope.project,
        parent=passed_on.by if passed_on else None,
        agent_id=agent_id,
        group_id=group_id,
        input=text,
        config=config,
        idempotency_key=idempotency_key or None,
        request_digest=asked if idempotency_key else "",
    )
    tickets.enqueue(run)
    audit.record_for(scope, "run.create", object_id=run.pk)
    return run


def find_run(scope: Scope, run_id: str) -> Run:
    """Return the run with its session, or raise NOT_FOUND for one that isn't there or isn't in sight."""
    run = Run.objects.for_scope(scope).select_related("session", "user", "project").filter(pk=run_id).first()
    if run is None:
        raise NotFound("Run")
    return run


@transaction.atomic
def cancel_run(scope: Scope, run_id: str, *, at: datetime) -> Run:
    """End a run now.

    Raises RUN_ALREADY_FINISHED if it has ended.
    """
    run = lock_run(scope, run_id)
    if run.is_final:
        raise OpenInternError("RUN_ALREADY_FINISHED", f"Run has already {run.status}")
    cancel(scope, run, at=at)
    return run


@transaction.atomic
def inject_message(scope: Scope, run_id: str, *, message: str) -> Run:
    """Say something to a run that is under way; its agent reads it before its next step.

    Raises RUN_NOT_INJECTABLE unless the run is running or waiting.
    """
    _check_text("message", message)
    run = lock_run(scope, run_id)
    if run.status not in {Run.Status.RUNNING, Run.Status.WAITING}:
        raise OpenInternError("RUN_NOT_INJECTABLE", f"Run is {run.status}")
    log.append(
        run,
        Draft(
            EventType.USER_INJECTED, {"message": message, "role": "user", "from": scope.user.username}, agent_id="user"
        ),
    )
    audit.record_for(scope, "run.inject", object_id=run.pk)
    return run


@transaction.atomic
def requeue_run(scope: Scope, run_id: str) -> Run:
    """Make a stuck run claimable again. A worker that still holds it finds its number outdated.

    Raises RUN_ALREADY_FINISHED if it has ended.
    """
    run = lock_run(scope, run_id)
    if run.is_final:
        raise OpenInternError("RUN_ALREADY_FINISHED", f"Run has already {run.status}")
    tickets.requeue(run)
    audit.record_for(scope, "run.requeue", object_id=run.pk)
    return run


@transaction.atomic
def repin_run(scope: Scope, run_id: str) -> Run:
    """Have an unfinished run go on with the role, prompt, tools and policy as they are now, from its next step on.

    Calls that wait for an approval under the old policy are refused, and the model may ask for them anew. Raises
    RUN_ALREADY_FINISHED if it has ended, CONFLICT while a worker is at it, NOT_FOUND if its role is gone.
    """
    run = lock_run(scope, run_id)
    if run.is_final:
        raise OpenInternError("RUN_ALREADY_FINISHED", f"Run has already {run.status}")
    if run.status == Run.Status.RUNNING:
        raise OpenInternError("CONFLICT", "A worker is at it; a run can be changed before it begins, or while it waits")
    changed, config = differences(run), run.config | current(run)
    payload = {"changed": changed, "by": scope.user.username, "policy": policy.version(Mandate.of(config))}
    asks = Approval.objects.filter(run=run, status=Approval.Status.PENDING).exists()
    changes: dict[str, Any] = {"status": Run.Status.PENDING} if asks else {}
    log.append(run, Draft(EventType.RUN_REPINNED, payload), config=config, **changes)
    if asks:
        Approval.objects.withdraw(run)
        tickets.requeue(run)
    audit.record_for(scope, "run.repin", object_id=run.pk, changed=changed)
    return run


@transaction.atomic
def delete_run(scope: Scope, run_id: str, *, at: datetime) -> None:
    """Remove a run that has ended, with its whole log and what it left in memory; the audit keeps that it was.

    Streams of it close. What it left can be restored as any forgotten memory.

    Raises CONFLICT for one that has not ended or that others came from, FORBIDDEN for somebody else's.
    """
    run = lock_run(scope, run_id)
    if run.user_id != scope.user.pk and not scope.sees_everything:
        raise OpenInternError("FORBIDDEN", "This run is somebody else's")
    if not run.is_final:
        raise OpenInternError("CONFLICT", f"Run is {run.status}; cancel it first")
    if run.children.exists():
        raise OpenInternError("CONFLICT", "Other runs came from this one")
    log.notify(log.CHANNEL, run.pk)
    forget_from(run_id=run.pk, at=at)
    run.delete()
    audit.record_for(scope, "run.delete", object_id=run_id)


def lock_run(scope: Scope, run_id: str) -> Run:
    """Find the run and lock its row, so that what is decided about it stays true."""
    find_run(scope, run_id)
    return Run.objects.select_for_update(of=("self",)).select_related("session").get(pk=run_id)


def _agent(agent_id: str, role_id: str, group_id: str) -> tuple[str, str, str]:
    """Return who works and as what: an agent with a role is that role, so that what it was granted is the role's.

    A team goes by the name of its group, and nobody else does.
    """
    if group_id or agent_id.startswith(GROUP_PREFIX):
        named = agent_id.removeprefix(GROUP_PREFIX) if agent_id != DEFAULT_AGENT else group_id
        if group_id not in {"", named}:
            raise Invalid("agent_id", "Names another agent than group_id")
        if role_id or not named:
            raise Invalid("role_id" if role_id else "agent_id", "A team has the roles of its members")
        return f"{GROUP_PREFIX}{named}", "", named
    if agent_id.startswith(INSTANCE_PREFIX):
        raise Invalid("agent_id", "This agent works in teams only")
    if agent_id.startswith(ROLE_PREFIX):
        if role_id not in {"", agent_id}:
            raise Invalid("agent_id", "Names another role than role_id")
        return agent_id, agent_id, ""
    return (role_id if role_id and agent_id == DEFAULT_AGENT else agent_id), role_id, ""


def _team(scope: Scope, group_id: str, *, passed_on: PassedOn | None) -> TeamBrief:
    """Return the team; to a run of another project, one that belongs to a project is not there."""
    team = team_of(scope, group_id)
    if passed_on is not None and team.project is not None and team.project.pk != passed_on.by.project_id:
        raise NotFound("Group")
    return team


def _check_names(*, session_key: str, agent_id: str) -> None:
    if not re.fullmatch(SESSION_KEY_PATTERN, session_key):
        raise Invalid("session_key", "Must start with 's_' and go on with letters, digits or '_'")
    if not _AGENT_ID.fullmatch(agent_id):
        raise Invalid("agent_id", "Must be 1 to 100 letters, digits, '.', ':', '_' or '-'")


def _check_text(field: str, text: str) -> None:
    if not text.strip():
        raise Invalid(field, "Must not be empty")
    if not is_storable(text):
        raise Invalid(field, "Must not hold NUL characters or lone surrogates")


def _open_session(scope: Scope, key: str, *, title: str, at: datetime) -> Session:
    """Return the conversation of that key, begun now if it is new, and brought to the top of the sidebar."""
    session, created = Session.objects.get_or_create(
        user=scope.user,
        project=scope.project,
        key=key,
        defaults={"title": shorten(" ".join(title.split()), 80), "active_at": at},
    )
    if not created:
        Session.objects.filter(pk=session.pk).update(active_at=at, is_archived=False)
    return session
