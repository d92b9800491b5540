"""Going round the organisations: a process for all of them, and one's trouble is not the others'."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from django.db import connection
from psycopg import sql

from openintern.errors import OpenInternError
from openintern.tenancy import schemas
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope

logger = structlog.get_logger(__name__)

#: Done inside an organisation; returns how much it was.
Piece = Callable[[Organization], int]


def organizations_where(*, table: str, condition: str, values: Mapping[str, Any]) -> list[Organization]:
    """Return the active organisations with such a row in a table of theirs: one query, whatever their number."""
    orgs = [org for org in Organization.objects.filter(is_active=True) if schemas.is_current(org)]
    if not orgs:
        return []
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {org} WHERE EXISTS (SELECT FROM {table} WHERE {condition})").format(
            org=sql.Literal(org.pk),
            table=sql.Identifier(org.schema_name, table),
            condition=sql.SQL(condition),  # ours, with its values apart
        )
        for org in orgs
    )
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        wanted = {pk for (pk,) in cursor.fetchall()}
    return [org for org in orgs if org.pk in wanted]


def in_each(orgs: Iterable[Organization], piece: Piece, *, doing: str) -> int:
    """Do a piece of work in each organisation; return how much it was in all. `doing` names it in the operator's log."""
    return sum(_inside(org, piece, doing) for org in orgs)


def take_turns(
    orgs: Sequence[Organization], piece: Piece, *, doing: str, is_stopping: Callable[[], bool] = lambda: False
) -> int:
    """Do a piece of work in each organisation in turn until nothing is left in any; return how much it was in all.

    A large piece of work of one, in small pieces, doesn't keep the others waiting.
    """
    done, waiting = 0, list(orgs)
    while waiting and not is_stopping():
        results = [(org, _inside(org, piece, doing)) for org in waiting if not is_stopping()]
        done += sum(result for _, result in results)
        waiting = [org for org, result in results if result]
    return done


def _inside(org: Organization, piece: Piece, doing: str) -> int:
    try:
        with org_scope(org):
            return piece(org)
    except OpenInternError as error:  # it is being upgraded, say; the next round finds it again
        logger.warning("%s has to wait: %s", doing, error.message, org=org.slug)
    except Exception:  # the outermost edge of work that nobody waits for: the operator's log has it
        logger.exception("%s has failed", doing, org=org.slug)
    return 0
