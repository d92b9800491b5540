"""The pages' paths."""

from django.urls import path

from teams import urls, views  # noqa: F401  `urls` registers the converters

urlpatterns = [
    path("skills", views.skills_page, name="skills"),
    path("skills/import", views.import_skill, name="import-skill"),
    path("skills/<skill_id:skill_id>", views.one_skill, name="skill"),
    path("skills/<skill_id:skill_id>/delete", views.delete_skill, name="delete-skill"),
]
