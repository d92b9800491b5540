"""The pages' paths."""

from django.urls import path

from teams import urls, views  # noqa: F401  `urls` registers the converters
from teams.pages import board, groups, roles, teams, versions

urlpatterns = [
    path("orchestrator", teams.teams_page, name="teams"),
    path("orchestrator/import", teams.import_teams, name="import-teams"),
    path("orchestrator/templates/<slug:template>", teams.install_template, name="install-team"),
    path("orchestrator/roles/new", roles.new_role, name="new-team-role"),
    path("orchestrator/roles/delete", roles.delete_roles, name="delete-team-roles"),
    path("orchestrator/roles/<role_id:role_id>", roles.one_role, name="team-role"),
    path("orchestrator/roles/<role_id:role_id>/copy", roles.copy_role, name="copy-team-role"),
    path("orchestrator/roles/<role_id:role_id>/delete", roles.delete_role, name="delete-team-role"),
    path("orchestrator/groups/new", groups.new_group, name="new-team-group"),
    path("orchestrator/groups/delete", groups.delete_groups, name="delete-team-groups"),
    path("orchestrator/groups/<group_id:group_id>", groups.one_group, name="team-group"),
    path("orchestrator/groups/<group_id:group_id>/run", groups.start_run, name="start-team-run"),
    path("orchestrator/groups/<group_id:group_id>/copy", groups.copy_group, name="copy-team-group"),
    path("orchestrator/groups/<group_id:group_id>/delete", groups.delete_group, name="delete-team-group"),
    path("orchestrator/groups/<group_id:group_id>/members", groups.add_member, name="add-team-member"),
    path(
        "orchestrator/groups/<group_id:group_id>/members/<member_id:member_id>",
        groups.change_member,
        name="change-team-member",
    ),
    path("blackboard", board.boards, name="blackboard"),
    path("blackboard/<group_id:group_id>", board.one_board, name="board"),
    path("blackboard/<group_id:group_id>/<entry_id:entry_id>", board.change_entry, name="change-entry"),
    path("blackboard/<group_id:group_id>/<entry_id:entry_id>/versions", versions.entry_versions, name="entry-versions"),
    path("skills", views.skills_page, name="skills"),
    path("skills/import", views.import_skill, name="import-skill"),
    path("skills/<skill_id:skill_id>", views.one_skill, name="skill"),
    path("skills/<skill_id:skill_id>/delete", views.delete_skill, name="delete-skill"),
]
