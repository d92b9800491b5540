"""The API's paths, below /api/."""

from django.urls import path, register_converter

from memory import rest
from memory.consolidation import rest as changes
from memory.documents import rest as document_api


class DocumentId:
    regex = r"doc_[A-Za-z0-9]{1,36}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(DocumentId, "document_id")

urlpatterns = [
    path("memories", rest.Memories.as_view()),
    path("memories/search", rest.MemorySearch.as_view()),
    path("memories/<uuid:memory_id>", rest.OneMemory.as_view()),
    path("memories/<uuid:memory_id>/supersede", rest.MemorySupersede.as_view()),
    path("memories/<uuid:memory_id>/restore", rest.MemoryRestore.as_view()),
    path("memory-changes", changes.ChangeSets.as_view()),
    path("memory-changes/<uuid:change_set_id>", changes.OneChangeSet.as_view()),
    path("memory-changes/<uuid:change_set_id>/accept", changes.AcceptChanges.as_view()),
    path("memory-changes/<uuid:change_set_id>/reject", changes.RejectChanges.as_view()),
    path("memory-changes/<uuid:change_set_id>/rollback", changes.RollBackChanges.as_view()),
    path("documents", document_api.Documents.as_view()),
    path("documents/<document_id:document_id>", document_api.OneDocument.as_view()),
    path("documents/<document_id:document_id>/content", document_api.DocumentContent.as_view()),
    path("documents/<document_id:document_id>/restore", document_api.DocumentRestore.as_view()),
    path("documents/<document_id:document_id>/retry", document_api.DocumentRetry.as_view()),
]
