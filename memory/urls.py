"""The API's paths, below /api/."""

from django.urls import path

from memory import rest

urlpatterns = [
    path("memories", rest.Memories.as_view()),
    path("memories/search", rest.MemorySearch.as_view()),
    path("memories/<uuid:memory_id>", rest.OneMemory.as_view()),
    path("memories/<uuid:memory_id>/supersede", rest.MemorySupersede.as_view()),
    path("memories/<uuid:memory_id>/restore", rest.MemoryRestore.as_view()),
]
