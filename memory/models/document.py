"""A document that somebody sent, on its way to becoming a memory."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from memory.documents.kinds import KINDS
from memory.models.memory import Memory
from memory.models.shelf import Shelf
from openintern.ids import new_id
from openintern.tenancy.models import User
from openintern.tenancy.scope import Scope

LONGEST_NAME: Final = 280  # with what stands before it, a source key of a memory


class DocumentQuerySet(models.QuerySet["Document"]):
    def for_scope(self, scope: Scope) -> DocumentQuerySet:
        """What `scope` may see, forgotten ones included: what is on the shelves in its sight."""
        shelves: Any = Shelf.objects
        return self.filter(shelf__in=shelves.for_scope(scope))

    def unfinished(self) -> DocumentQuerySet:
        """Those on their way."""
        return self.filter(state__in=Document.UNFINISHED, forgotten_at__isnull=True)


class Document(models.Model):
    """One document by its name, whatever its version. Its bytes are a file named after `id` and `version` alone.

    `attempt` is the fencing number: who claimed an older one changes nothing. `tries` are counted before the work, so
    that a document that takes its reader down doesn't do so for ever.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        READING = "reading", _("being read")
        WRITING = "writing", _("being remembered")
        DONE = "done", _("remembered")
        FAILED = "failed", _("failed")

    class Problem(models.TextChoices):
        """Why a document failed: the code that programs see, the sentence that people do."""

        NO_TEXT = "no_text", _("There is no text in it. A scan has to go through text recognition first.")
        ENCRYPTED = "encrypted", _("It is protected by a password. Send it without one.")
        BROKEN = "broken", _("It is damaged, or not what its beginning says it is.")
        NOT_WORD = "not_word", _("Of Office files only Word documents (DOCX) are read.")
        TOO_MANY_PAGES = "too_many_pages", _("It has more than 5,000 pages. Split it.")
        TOO_LONG = "too_long", _("It has more than 4,000,000 characters. Split it.")
        BOMB = "bomb", _("It would unpack to far more than a document.")
        TOO_SLOW = "too_slow", _("Reading it takes too long.")
        TOO_DEMANDING = "too_demanding", _("Reading it takes too much memory.")
        SECRETS = "secrets", _("It holds what looks like a secret, and this organisation keeps none.")
        NO_ROOM = "no_room", _("Its owner remembers as much as one can. Forget something first.")
        LOST = "lost", _("Its file is gone. Send it again.")
        GIVEN_UP = "given_up", _("Its reader was interrupted three times. Try again.")

    #: From which states a document gets into which.
    TRANSITIONS: ClassVar[dict[str, frozenset[str]]] = {
        State.QUEUED: frozenset({State.DONE, State.FAILED, State.READING, State.WRITING}),
        State.READING: frozenset({State.QUEUED, State.READING, State.WRITING}),
        State.WRITING: frozenset({State.READING}),
        State.DONE: frozenset({State.WRITING}),
        State.FAILED: frozenset({State.QUEUED, State.READING, State.WRITING}),
    }
    UNFINISHED: ClassVar = (State.QUEUED, State.READING, State.WRITING)

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "doc"), editable=False)
    shelf = models.ForeignKey(Shelf, models.PROTECT, related_name="documents")
    author = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"))
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    kind = models.CharField(_("type"), max_length=10, choices=[(kind, kind) for kind in KINDS])
    size = models.PositiveIntegerField(_("bytes"))
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the bytes")
    version = models.PositiveIntegerField(_("version"), default=1)

    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    problem = models.CharField(_("problem"), max_length=20, choices=Problem.choices, blank=True, default="")
    attempt = models.PositiveIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now(), help_text="a claim moves it ahead: it is the lease")

    title = models.CharField(_("title"), max_length=300, blank=True, default="")
    encoding = models.CharField(max_length=40, blank=True, default="")
    pages = models.PositiveIntegerField(_("pages"), null=True)
    pages_read = models.PositiveIntegerField(default=0)
    textless_pages = models.PositiveIntegerField(default=0)
    passages = models.PositiveIntegerField(_("passages"), null=True)
    memory = models.ForeignKey(Memory, models.SET_NULL, null=True, related_name="documents")

    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    sent_at = models.DateTimeField(_("sent"), db_default=Now(), help_text="this version")
    finished_at = models.DateTimeField(_("finished"), null=True)
    forgotten_at = models.DateTimeField(_("forgotten"), null=True)
    forgotten_with = models.UUIDField(null=True, help_text="the forgetting of its memory")

    objects: ClassVar[models.Manager[Document]] = DocumentQuerySet.as_manager()

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        indexes = [
            # lists, newest first
            models.Index(fields=["shelf", "-created_at", "-id"], name="memory_document_newest"),
            # which is the next to be read
            models.Index(
                fields=["available_at"],
                condition=Q(state__in=["queued", "reading", "writing"], forgotten_at__isnull=True),
                name="memory_document_due",
            ),
        ]
        constraints = [
            # replace by name
            models.UniqueConstraint(
                fields=["shelf", "name"], condition=Q(forgotten_at__isnull=True), name="memory_document_once"
            ),
            models.CheckConstraint(
                name="memory_document_state",
                condition=Q(state__in=["queued", "reading", "writing"], problem="", finished_at__isnull=True)
                | Q(state="done", problem="", finished_at__isnull=False)
                | (Q(state="failed", finished_at__isnull=False) & ~Q(problem="")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state not in self.UNFINISHED

    @property
    def is_remembered(self) -> bool:
        """Whether a search finds what it says, in this version or the one before."""
        return self.memory is not None and self.memory.is_current

    @property
    def source_key(self) -> str:
        """Under which its memory is replaced."""
        return f"document:{self.name}"

    @property
    def stored_as(self) -> str:
        """The name of the file with its bytes."""
        return f"{self.pk}.{self.version}"

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1, as far as that is known."""
        if self.is_final:
            return 1.0
        if self.state == self.State.WRITING:
            return 0.9
        return 0.9 * self.pages_read / self.pages if self.pages else 0.0
