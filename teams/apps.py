from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TeamsConfig(AppConfig):
    name = "teams"
    verbose_name = _("teams")

    def ready(self) -> None:
        """Tell runs who knows roles and skills, and open the doors to boards."""
        from runs import briefs  # noqa: PLC0415  models can't be read before this
        from runs.engine import remembering  # noqa: PLC0415
        from teams import doors  # noqa: F401, PLC0415  importing it opens them
        from teams.board import ending  # noqa: PLC0415
        from teams.briefing import Desk  # noqa: PLC0415

        briefs.provide(Desk())
        remembering.add_keeper(ending.keep)
