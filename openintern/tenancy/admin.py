"""People, keys, projects and the audit: of one organisation for its admins, of all for the platform's staff."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin, RelatedOnlyFieldListFilter, action, display
from django.contrib.auth.admin import UserAdmin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from openintern.administration import OrganizationPages, ReadOnlyPages, ask_first, asker
from openintern.sites import organization_admin, platform_admin
from openintern.tenancy import audit, keys, people, schemas
from openintern.tenancy.models import ApiKey, AuditEntry, Membership, Organization, Project, User
from openintern.tenancy.policy import KEY_SCOPES
from openintern.tenancy.roles import Role


class MembershipPages(OrganizationPages[Membership]):
    """Who belongs here, as what. People are let in with `create_user`; here their role changes, or they go."""

    organization_path = "organization"
    list_display = ["user", "role", "is_active", "created_at"]
    list_filter = ["role"]
    search_fields = ["user__username"]
    fields = ["user", "role", "projects"]
    readonly_fields = ["user"]
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The list, with how somebody new gets in: names are the whole platform's, so its staff gives them."""
        how = _(
            "Somebody new is let in by the platform’s staff, or with: openintern create_user NAME --org %(org)s --role member"
        )
        return super().changelist_view(
            request, {"subtitle": how % {"org": asker(request).org.slug}, **(extra_context or {})}
        )

    @display(boolean=True, description=_("active"))
    def is_active(self, membership: Membership) -> bool:
        return membership.user.is_active

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = Project.objects.filter(organization=asker(request).org)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Nobody can give a higher role than their own."""
        kwargs["choices"] = [(role.value, role.label) for role in _roles_up_to(request)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only an owner changes an owner."""
        return super().has_change_permission(request, obj) and _outranks(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _outranks(request, obj)

    def save_model(
        self, request: HttpRequest, obj: Membership, form: forms.ModelForm[Membership], change: bool
    ) -> None:
        if "role" in form.changed_data:
            obj.role = form.initial["role"]
            people.change_role(obj, role=Role(form.cleaned_data["role"]), by=cast(User, request.user))
        if "projects" in form.changed_data:
            projects = [project.slug for project in form.cleaned_data["projects"]]
            audit.record_for(asker(request), "member.projects", object_id=obj.user.username, projects=projects)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        people.remove_member(obj, by=cast(User, request.user))


def _roles_up_to(request: HttpRequest) -> list[Role]:
    return [role for role in Role if asker(request).role.includes(role)]


def _outranks(request: HttpRequest, membership: Membership | None) -> bool:
    return membership is None or asker(request).role.includes(Role(membership.role))


class ProjectPages(OrganizationPages[Project]):
    organization_path = "organization"
    list_display = ["slug", "name", "created_at"]
    fields = ["slug", "name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # runs keep pointing at it

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        scope = asker(request)
        if not change:
            obj.pk = people.create_project(obj.slug, org=scope.org, name=obj.name, by=scope.user, via=scope.via).pk
            return
        obj.save(update_fields=["name"])
        audit.record_for(scope, "project.change", object_id=obj.slug)


class KeyForm(forms.ModelForm[ApiKey]):
    scopes = forms.MultipleChoiceField(
        label=_("scopes"),
        choices=[(name, f"{name} – {meaning}") for name, meaning in KEY_SCOPES.items()],
        initial=["read", "write"],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiKey
        fields = ["user", "name", "scopes", "expires_at"]


class ApiKeyPages(OrganizationPages[ApiKey]):
    """Keys are made (shown once), and revoked. Nothing else about them can change."""

    organization_path = "organization"
    form = KeyForm
    list_display = ["__str__", "user", "name", "scopes", "expires_at", "revoked_at", "last_used_at"]
    list_filter = [("user", RelatedOnlyFieldListFilter)]
    actions = ["revoke"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = User.objects.filter(
                memberships__organization=asker(request).org,
                memberships__role__in=_roles_up_to(request),
                is_active=True,
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        scope = asker(request)
        key, text = keys.create_api_key(
            org=scope.org,
            user=obj.user,
            scopes=obj.scopes,
            name=obj.name,
            expires_at=obj.expires_at,
            at_most=scope.role,
            by=scope.user,
            via=scope.via,
        )
        obj.pk, obj.prefix = key.pk, key.prefix
        messages.success(request, _("The key, shown this once: %(key)s") % {"key": text})

    @action(description=_("Revoke the selected keys"))
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> HttpResponse | None:
        title, note = (
            _("Revoke these keys?"),
            _("Whatever uses them stops at once. A key that is revoked stays revoked."),
        )
        if asked := ask_first(request, chosen, site=self.admin_site, action="revoke", title=title, note=note):
            return asked
        for key in chosen.select_related("organization"):
            keys.revoke_api_key(key, by=cast(User, request.user), at=timezone.now())
        return None


class AuditPages(ReadOnlyPages[AuditEntry]):
    organization_path = "organization"
    list_display = ["at", "actor", "via", "action", "object_id", "outcome", "address"]
    list_filter = ["outcome", "action"]
    search_fields = ["object_id", "actor__username"]
    list_select_related = ["actor"]


class OrganizationForStaff(ModelAdmin[Organization]):
    """Organisations are made with their schema, and suspended, not deleted."""

    list_display = ["slug", "name", "is_active", "max_concurrent_runs", "is_current", "created_at"]
    fields = [
        "slug",
        "name",
        "is_active",
        "max_concurrent_runs",
        "max_runs_per_minute",
        "retention_days",
        "four_eyes",
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(boolean=True, description=_("up to date"))
    def is_current(self, org: Organization) -> bool:
        return schemas.is_current(org)

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        actor = cast(User, request.user)
        if not change:
            made = people.create_organization(obj.slug, name=obj.name, by=actor, via="session")
            obj.pk, obj.schema_name, obj.migrated_to = made.pk, made.schema_name, made.migrated_to
            people.add_member(actor, org=made, role=Role.OWNER, by=actor, via="session")
        changed = {name: form.cleaned_data[name] for name in form.changed_data if name != "slug"}
        Organization.objects.filter(pk=obj.pk).update(**changed)
        details = {"fields": sorted(changed)}
        audit.record("organization.change", org=obj, actor=actor, via="session", object_id=obj.slug, details=details)


class PersonForStaff(UserAdmin[User]):
    """People of all organisations. They are deactivated, never deleted."""

    list_display = ["username", "email", "is_active", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    fieldsets = [
        (None, {"fields": ["username", "password", "first_name", "last_name", "email", "is_active", "is_superuser"]})
    ]
    readonly_fields = ["last_login"]
    actions = ["deactivate"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        details = {"fields": sorted(set(form.changed_data) - {"password1", "password2"})}
        self._record(request, obj, "person.change" if change else "person.create", details)

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        response = super().user_change_password(request, id, form_url)
        if response.status_code == HTTPStatus.FOUND:
            self._record(request, User.objects.get(pk=id), "person.set_password", {})
        return response

    def _record(self, request: HttpRequest, person: User, action: str, details: dict[str, Any]) -> None:
        actor = cast(User, request.user)
        audit.record(action, actor=actor, via="session", object_id=person.username, details=details)

    @action(description=_("Deactivate the selected people"))
    def deactivate(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        actor = cast(User, request.user)
        for person in chosen.exclude(pk=actor.pk):
            people.deactivate(person, by=actor)


class MembershipForStaff(ModelAdmin[Membership]):
    list_display = ["user", "organization", "role"]
    list_filter = ["organization", "role"]
    list_select_related = ["user", "organization"]
    fields = ["user", "organization", "role"]
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["user", "organization"] if obj else []

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        actor, role = cast(User, request.user), Role(form.cleaned_data["role"])
        if not change:
            obj.pk = people.add_member(obj.user, org=obj.organization, role=role, by=actor, via="session").pk
        elif "role" in form.changed_data:
            obj.role = form.initial["role"]
            people.change_role(obj, role=role, by=actor)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        people.remove_member(obj, by=cast(User, request.user))


class AuditForStaff(ModelAdmin[AuditEntry]):
    list_display = ["at", "organization", *AuditPages.list_display[1:]]
    list_filter = ["outcome", "organization", "action"]
    list_select_related = ["actor", "organization"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


organization_admin.register(Membership, MembershipPages)
organization_admin.register(Project, ProjectPages)
organization_admin.register(ApiKey, ApiKeyPages)
organization_admin.register(AuditEntry, AuditPages)

platform_admin.register(Organization, OrganizationForStaff)
platform_admin.register(User, PersonForStaff)
platform_admin.register(Membership, MembershipForStaff)
platform_admin.register(AuditEntry, AuditForStaff)
