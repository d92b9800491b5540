"""From a document to roles and groups: all of what was planned, or nothing."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from teams import groups, members, roles
from teams.blueprints.document import Blueprint
from teams.blueprints.planning import Existing, Step, plan
from teams.models import Group, Role


@transaction.atomic
def install(scope: Scope, blueprint: Blueprint, *, existing: Existing, source: str = "") -> list[Step]:
    """Do what `plan` says and return its steps, with the ids of what is there now.

    Done twice it changes nothing the second time, unless it makes copies. Raises as `plan`, or CONFLICT where the
    organisation is full or somebody took a name meanwhile: then nothing has been done.
    """
    steps = plan(scope, blueprint, existing=existing)
    everywhere = replace(scope, project=None)
    done = [_role(everywhere, step) if step.kind == "role" else _group(everywhere, step) for step in steps]
    counts = {action: sum(step.action == action for step in done) for action in ("create", "copy", "replace")}
    audit.record_for(scope, "team.import", object_id=source, existing=existing, **counts)
    return done


def _role(scope: Scope, step: Step) -> Step:
    if step.action in {"create", "copy"}:
        return replace(step, object_id=roles.create(scope, **step.told).pk)
    if step.action == "replace":
        roles.change(scope, step.object_id, **step.told)
    return step


def _group(scope: Scope, step: Step) -> Step:
    fields = {name: value for name, value in step.told.items() if name not in {"members", "lead"}}
    if step.action in {"create", "copy"}:
        step = replace(step, object_id=groups.create(scope, **fields).pk)
    elif step.action == "replace":
        groups.change(scope, step.object_id, **fields)
    else:
        return step
    _fill(scope, groups.find(scope, step.object_id), names=step.told["members"], lead=step.told["lead"])
    return step


def _fill(scope: Scope, group: Group, *, names: list[str], lead: str | None) -> None:
    """Have in the group exactly those named, in that order, led by the one named."""
    wanted = dict(Role.objects.filter(name__in=names).values_list("name", "pk"))
    for member in groups.members_of(group):
        if member.role.name not in wanted:
            members.remove(scope, group.pk, member.pk)
    there = {member.role.name: member.pk for member in groups.members_of(group)}
    for name in names:
        if name not in there:
            there[name] = members.add(scope, group.pk, role_id=wanted[name]).pk
    members.reorder(scope, group.pk, [there[name] for name in names])
    groups.change(scope, group.pk, lead_id=there[lead] if lead else None)
