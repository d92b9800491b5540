from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConnectorsConfig(AppConfig):
    name = "connectors"
    verbose_name = _("connectors")

    def ready(self) -> None:
        """Say what webhooks can be told of besides runs, and what `doctor` asks."""
        from connectors import checks  # noqa: F401, PLC0415  registers health checks
        from runs.outbox import emitting  # noqa: PLC0415  models aren't there before

        emitting.announce("connector.sync.completed", "connector.sync.failed", "pdf.completed", "pdf.failed")
