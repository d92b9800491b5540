from django.apps import AppConfig


class QueueConfig(AppConfig):
    name = "runs.queue"
    label = "queue"
    verbose_name = "queue"
