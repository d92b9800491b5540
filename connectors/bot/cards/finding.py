"""Where a question is asked at Feishu: in the thread that its run came from, else before those who may decide about it.

Each question is looked at once. Where nobody is to be asked that is noted, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from connectors.bot import people
from connectors.models import ApprovalCard, BotMessage, Connector, FeishuPerson
from openintern.tenancy.models import Organization
from openintern.tenancy.policy import allows
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope
from runs.family import DEEPEST
from runs.models import Approval, Run

MOST_AT_ONCE: Final = 50
#: Before how many people one question is put.
MOST_ASKED: Final = 5


@transaction.atomic
def find(org: Organization) -> int:
    """Note the cards of questions that have none yet; return how many questions those were. May be repeated."""
    talkers = [each for each in Connector.objects.filter(status=Connector.Status.ACTIVE) if each.hears and each.is_able]
    if not talkers:
        return 0
    has_card = Exists(ApprovalCard.objects.filter(approval=OuterRef("pk")))
    waiting = Approval.objects.pending().filter(~has_card, run__project__in=[each.project_id for each in talkers])
    asked = list(waiting.select_related("run__user").order_by("created_at", "pk")[:MOST_AT_ONCE])
    ApprovalCard.objects.bulk_create(
        [card for approval in asked for card in _cards(approval, talkers, org)], ignore_conflicts=True
    )
    return len(asked)


def _cards(approval: Approval, talkers: list[Connector], org: Organization) -> list[ApprovalCard]:
    came_from = BotMessage.objects.filter(run_id__in=_line_of(approval.run), connector__in=talkers).first()
    if came_from is not None:
        return [
            ApprovalCard(
                approval=approval,
                connector=came_from.connector,
                answers=came_from.message_id,
                in_thread=came_from.in_thread,
            )
        ]
    theirs = [each for each in talkers if each.project_id == approval.run.project_id]
    for connector in theirs:
        if asked := list(_asked(connector, approval.run, org)):
            return [ApprovalCard(approval=approval, connector=connector, to=open_id) for open_id in asked]
    nobody = {"state": ApprovalCard.State.CLOSED, "ended_at": Now(), "problem": "Nobody at Feishu may decide about it"}
    return [ApprovalCard(approval=approval, connector=theirs[0], **nobody)]


def _line_of(run: Run) -> list[str]:
    """The run, the one it works for, and so on."""
    line = [run.pk]
    while run.parent_id and len(line) < DEEPEST + 2:
        run = Run.objects.only("parent_id").get(pk=run.parent_id)
        line.append(run.pk)
    return line


def _asked(connector: Connector, run: Run, org: Organization) -> Iterator[str]:
    """Who is asked in private: whose run it is; under the four-eyes rule the admins instead, and never that person."""
    known: list[FeishuPerson] = list(people.known(connector))
    fitting = [each for each in known if (each.user_id != run.user_id) == org.four_eyes]
    found = 0
    for person in fitting:
        scope = people.scope_of(connector, person.open_id, org=org)
        if scope is not None and _may_decide(scope):
            yield person.open_id
            found += 1
        if found == MOST_ASKED:
            return


def _may_decide(scope: Scope) -> bool:
    return allows(scope.role, "approval", "decide") and (not scope.org.four_eyes or scope.role.includes(Role.ADMIN))
