"""The pages' paths."""

from django.urls import path

from memory import urls, views  # noqa: F401  `urls` registers the converter
from memory.consolidation import views as changes
from memory.documents import views as documents

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
    path("memory/documents", documents.documents, name="documents"),
    path("memory/documents/<document_id:document_id>/forget", documents.forget, name="forget-document"),
    path("memory/documents/<document_id:document_id>/restore", documents.restore, name="restore-document"),
    path("memory/documents/<document_id:document_id>/retry", documents.retry, name="retry-document"),
]
