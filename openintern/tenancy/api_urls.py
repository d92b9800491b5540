from django.urls import path

from openintern.tenancy import api

urlpatterns = [path("me", api.Me.as_view())]
