"""The paths of a person's own account."""

from django.urls import path

from openintern import pages
from openintern.tenancy import views

urlpatterns = [
    path("sign-in", views.SignIn.as_view(), name="sign-in"),
    path("sign-out", views.SignOut.as_view(), name="sign-out"),
    path("password", views.ChangePassword.as_view(), name="change-password"),
    path("organization", views.switch_organization, name="switch-organization"),
    path("theme", pages.set_theme, name="theme"),
]
