"""The paths below /v1/."""

from django.urls import path

from runs.chat_completions import views

urlpatterns = [
    path("models", views.models),
    path("chat/completions", views.chat_completions),
]
