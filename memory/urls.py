"""The API's paths, below /api/."""

from django.urls import path

from memory import rest
from memory.consolidation import rest as changes

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
]
