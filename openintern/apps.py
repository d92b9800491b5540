from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig
from django.utils.module_loading import autodiscover_modules


class OpenInternConfig(AppConfig):
    default = True  # Django would otherwise take neither of the two in this file
    name = "openintern"
    verbose_name = "OpenIntern"

    def ready(self) -> None:
        from openintern import checks  # noqa: F401, PLC0415  registers health checks


class AdminConfig(SimpleAdminConfig):
    """Django's admin with our two sites (`openintern.sites`) in place of its one."""

    def ready(self) -> None:
        super().ready()
        autodiscover_modules("admin")
