from django.apps import AppConfig


class TenancyConfig(AppConfig):
    name = "openintern.tenancy"
    label = "tenancy"
    verbose_name = "organisations and people"
