"""A person's conversations: listed, named, put away. A run brings its conversation back (`lifecycle.create_run`)."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef

from openintern.errors import Invalid, NotFound
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from openintern.text import is_storable, shorten
from runs.models import Run, Session

SHOWN = 100
LONGEST_TITLE = 200


def recent_sessions(scope: Scope) -> list[Session]:
    """Return one's own conversations, the latest first, each with `is_active`: whether something is going on in it."""
    working = Exists(Run.objects.filter(session=OuterRef("pk"), status__in=(Run.Status.PENDING, Run.Status.RUNNING)))
    sessions = Session.objects.of_person(scope).filter(is_archived=False)
    return list(sessions.annotate(is_active=working).order_by("-active_at")[:SHOWN])


def find_session(scope: Scope, key: str) -> Session:
    """Return one's own conversation of that key, or raise NOT_FOUND."""
    session = Session.objects.of_person(scope).filter(key=key).first()
    if session is None:
        raise NotFound("Conversation")
    return session


@transaction.atomic
def rename_session(scope: Scope, key: str, *, title: str) -> Session:
    """Give a conversation another title. Raises VALIDATION_ERROR for none or one that can't be stored."""
    session = find_session(scope, key)
    words = " ".join(title.split())
    if not words or not is_storable(words):
        raise Invalid("title", "Must not be empty")
    session.title = shorten(words, LONGEST_TITLE)
    session.save(update_fields=["title"])
    audit.record_for(scope, "session.rename", object_id=key)
    return session


@transaction.atomic
def archive_session(scope: Scope, key: str) -> None:
    """Take a conversation out of the list. Its runs stay where the record of runs is kept."""
    session = find_session(scope, key)
    session.is_archived = True
    session.save(update_fields=["is_archived"])
    audit.record_for(scope, "session.archive", object_id=key)
