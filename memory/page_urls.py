"""The pages' paths."""

from django.urls import path

from memory import views
from memory.consolidation import views as changes

urlpatterns = [
    path("memory", views.memories, name="memory"),
    path("memory/<uuid:memory_id>", views.one_memory, name="memory-item"),
    path("memory/<uuid:memory_id>/supersede", views.supersede, name="supersede-memory"),
    path("memory/<uuid:memory_id>/forget", views.forget, name="forget-memory"),
    path("memory/<uuid:memory_id>/restore", views.restore, name="restore-memory"),
    path("memory/changes", changes.change_sets, name="memory-changes"),
    path("memory/changes/count", changes.count, name="memory-change-count"),
    path("memory/changes/<uuid:change_set_id>/accept", changes.accept, name="accept-changes"),
    path("memory/changes/<uuid:change_set_id>/reject", changes.reject, name="reject-changes"),
    path("memory/changes/<uuid:change_set_id>/rollback", changes.roll_back, name="roll-back-changes"),
]
