from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class RunsConfig(AppConfig):
    name = "runs"
    verbose_name = _("runs")

    def ready(self) -> None:
        """Let every app add its tools, its programs and health checks, as Django's admin lets them add theirs."""
        autodiscover_modules("tools", "programs")
        from runs import checks, merge_writer  # noqa: F401, PLC0415  register health checks, and who writes merges
        from runs.mcp import offering  # noqa: PLC0415  it reads models
        from runs.tools import registry  # noqa: PLC0415

        registry.add_source("mcp_", offering.offered)
