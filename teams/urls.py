"""The API's paths, below /api/."""

from django.urls import path, register_converter

from runs.urls import RunId
from teams.rest import blueprints, board, board_stream, group_runs, groups, members, roles, skills


class RoleId(RunId):
    regex = r"role_[A-Za-z0-9]{1,36}"


class GroupId(RunId):
    regex = r"grp_[A-Za-z0-9]{1,36}"


class MemberId(RunId):
    regex = r"mbr_[A-Za-z0-9]{1,36}"


class EntryId(RunId):
    regex = r"entry_[A-Za-z0-9]{1,36}"


class SkillId(RunId):
    regex = r"skill_[A-Za-z0-9]{1,36}"


register_converter(RoleId, "role_id")
register_converter(GroupId, "group_id")
register_converter(MemberId, "member_id")
register_converter(EntryId, "entry_id")
register_converter(SkillId, "skill_id")

urlpatterns = [
    path("roles", roles.Roles.as_view()),
    path("roles/batch-delete", roles.RolesDeletion.as_view()),
    path("roles/<role_id:role_id>", roles.OneRole.as_view()),
    path("roles/<role_id:role_id>/stats", roles.RoleStats.as_view()),
    path("roles/<role_id:role_id>/history", roles.RoleHistory.as_view()),
    path("groups", groups.Groups.as_view()),
    path("groups/batch-delete", groups.GroupsDeletion.as_view()),
    path("groups/<group_id:group_id>", groups.OneGroup.as_view()),
    path("groups/<group_id:group_id>/history", groups.GroupHistory.as_view()),
    path("groups/<group_id:group_id>/members", members.Members.as_view()),
    path("groups/<group_id:group_id>/members/order", members.MembersOrder.as_view()),
    path("groups/<group_id:group_id>/members/<member_id:member_id>", members.OneMember.as_view()),
    path("groups/<group_id:group_id>/runs", group_runs.GroupRuns.as_view()),
    path("groups/<group_id:group_id>/stats", group_runs.GroupStats.as_view()),
    path("teams/export", blueprints.TeamExport.as_view()),
    path("teams/import", blueprints.TeamsImport.as_view()),
    path("teams/templates", blueprints.TeamTemplates.as_view()),
    path("teams/templates/<slug:template>/install", blueprints.TemplateInstallation.as_view()),
    path("groups/<group_id:group_id>/blackboard", board.Board.as_view()),
    path("groups/<group_id:group_id>/blackboard/stream", board_stream.board_stream, name="board-stream"),
    path("groups/<group_id:group_id>/blackboard/<entry_id:entry_id>", board.OneEntry.as_view()),
    path("groups/<group_id:group_id>/blackboard/<entry_id:entry_id>/pin", board.EntryPin.as_view()),
    path("groups/<group_id:group_id>/blackboard/<entry_id:entry_id>/history", board.EntryHistory.as_view()),
    path("skills", skills.Skills.as_view()),
    path("skills/import", skills.SkillImport.as_view()),
    path("skills/<skill_id:skill_id>", skills.OneSkill.as_view()),
    path("skills/<skill_id:skill_id>/versions", skills.SkillVersions.as_view()),
    path("skills/<skill_id:skill_id>/health", skills.SkillHealth.as_view()),
]
