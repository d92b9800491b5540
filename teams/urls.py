"""The API's paths, below /api/."""

from django.urls import path, register_converter

from runs.urls import RunId
from teams.rest import roles


class RoleId(RunId):
    regex = r"role_[A-Za-z0-9]{1,36}"


register_converter(RoleId, "role_id")

urlpatterns = [
    path("roles", roles.Roles.as_view()),
    path("roles/batch-delete", roles.RolesDeletion.as_view()),
    path("roles/<role_id:role_id>", roles.OneRole.as_view()),
    path("roles/<role_id:role_id>/stats", roles.RoleStats.as_view()),
]
