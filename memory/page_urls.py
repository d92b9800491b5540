"""The pages' paths."""

from django.urls import path

from memory import views

urlpatterns = [
    path("memory", views.memories, name="memory"),
    path("memory/<uuid:memory_id>", views.one_memory, name="memory-item"),
    path("memory/<uuid:memory_id>/supersede", views.supersede, name="supersede-memory"),
    path("memory/<uuid:memory_id>/forget", views.forget, name="forget-memory"),
    path("memory/<uuid:memory_id>/restore", views.restore, name="restore-memory"),
]
