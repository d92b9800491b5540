"""What a role brings into a run, in the words of the port that runs have for it."""

from __future__ import annotations

from runs.briefs import Brief
from runs.tools.policy import Lists, Mandate
from teams import roles
from teams.models import Role


class Desk:
    """Answers what runs ask about roles; see `runs.briefs.Source`."""

    def brief(self, role_id: str) -> Brief:
        """Return the brief of a role, or for "" that of an agent without one."""
        return _brief_of(roles.find(role_id)) if role_id else Brief()

    def choices(self) -> list[tuple[str, str]]:
        """Return the organisation's roles by name."""
        return list(Role.objects.order_by("name").values_list("pk", "name"))


def _brief_of(role: Role) -> Brief:
    return Brief(
        role={"id": role.pk, "name": role.name, "version": role.version},
        prompt=role.system_prompt,
        style=role.style_constraints,
        model=role.llm_config,
        mandate=Mandate(role=Lists(allowed=tuple(role.allowed_tools), denied=tuple(role.denied_tools))),
    )
