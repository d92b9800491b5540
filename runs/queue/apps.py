from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class QueueConfig(AppConfig):
    name = "runs.queue"
    label = "queue"
    verbose_name = _("queue")

    def ready(self) -> None:
        """Let every upgrade leave the schedules that the code counts on."""
        from runs.queue import schedules  # noqa: PLC0415  models aren't there before

        post_migrate.connect(schedules.ensure, sender=self)
