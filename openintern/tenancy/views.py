"""Coming in, going out, changing one's password and the organisation one is in."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from openintern.errors import NotFound, OpenInternError
from openintern.pages import scope_of
from openintern.tenancy import audit, throttle
from openintern.tenancy.access import access, public
from openintern.tenancy.identity import CURRENT_ORG, ScopedRequest, address_of
from openintern.tenancy.models import Organization


class SignInForm(AuthenticationForm):
    """Name and password; too many wrong ones have to wait."""

    def clean(self) -> dict[str, Any]:
        """Check the password unless patience is asked for. The answer is the same whether the person exists."""
        username, address = self.cleaned_data.get("username", ""), address_of(cast(HttpRequest, self.request))
        try:
            throttle.require_patience(username=username, address=address, at=timezone.now())
        except OpenInternError as error:
            raise ValidationError(
                _("Too many attempts. Try again in a quarter of an hour."), code="throttled"
            ) from error
        try:
            return super().clean()
        except ValidationError:
            throttle.record_refusal(username=username, address=address)
            raise


@public
class SignIn(auth_views.LoginView):
    """The door."""

    template_name = "tenancy/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form; as a whole page even to htmx, whose fragment nobody signed in would get."""
        if getattr(request, "htmx", False):
            return HttpResponseClientRedirect(request.get_full_path())
        return super().get(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Let the person in, with a row in the audit."""
        with transaction.atomic():
            audit.record(
                "session.create",
                actor=form.get_user(),
                via="session",
                object_id=form.get_user().get_username(),
                address=address_of(self.request),
            )
            return super().form_valid(form)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again: 429 where patience is asked for."""
        response = super().form_invalid(form)
        if form.has_error("__all__", "throttled"):
            response.status_code = 429
            response["Retry-After"] = str(int(throttle.WINDOW.total_seconds()))
        return response


@public
class SignOut(auth_views.LogoutView):
    """The way out; only by POST, so that no link or image can send somebody out."""


@access("profile", GET="read", POST="change")
class ChangePassword(auth_views.PasswordChangeView):
    """A new password; it ends the person's other sessions."""

    template_name = "tenancy/change_password.html"
    success_url = reverse_lazy("chat")

    def form_valid(self, form: Any) -> HttpResponse:
        """Store the new password with a row in the audit."""
        with transaction.atomic():
            audit.record_for(scope_of(self.request), "person.change_password", object_id=form.user.get_username())
            response = super().form_valid(form)
        messages.success(self.request, _("Your password is changed. Your other sessions have ended."))
        return response


@access("profile", POST="change")
@require_POST
def switch_organization(request: ScopedRequest) -> HttpResponse:
    """Go on in another of one's organisations."""
    chosen = Organization.objects.filter(
        is_active=True, memberships__user=scope_of(request).user, slug=request.POST.get("organization", "")
    ).first()
    if chosen is None:
        raise NotFound("Organisation")
    request.session[CURRENT_ORG] = chosen.pk
    return redirect("chat")
