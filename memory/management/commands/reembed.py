"""Moving to another embedding model, in the background: the old one serves until the new one has every vector."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from memory.embedding import moving, queue
from memory.embedding.ports import EmbeddingError, port
from memory.embedding.serving import SERVING
from memory.models import EmbeddingModel
from openintern.errors import OpenInternError
from openintern.tenancy.models import Organization
from openintern.tenancy.people import find_organization
from openintern.tenancy.scope import org_scope

_LOOK_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Embed all memories with another model. The embedder does it; the old model serves until the new is complete."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--org", default="", help="only this organisation")
        parser.add_argument("--model", default="", help="the model's name (default: the configured one)")
        parser.add_argument("--wait", action="store_true", help="stay, and show how far it is")

    def handle(self, *args: Any, org: str, model: str, wait: bool, **options: Any) -> None:
        name = model or settings.CONFIG.memory.embedding_model
        try:
            port(name).query("test")
            orgs = (
                [find_organization(org)] if org else list(Organization.objects.filter(is_active=True).order_by("slug"))
            )
            for each in orgs:
                self._begin(each, name)
            for each in orgs if wait else []:
                self._follow(each, name)
        except (OpenInternError, EmbeddingError) as error:
            raise CommandError(str(error)) from error

    def _begin(self, org: Organization, name: str) -> None:
        with org_scope(org):
            model = moving.begin_move(name)
            moving.take_over_if_complete(model)
            self._tell(org, model)

    def _follow(self, org: Organization, name: str) -> None:
        while True:
            with org_scope(org):
                model = EmbeddingModel.objects.filter(name=name).first()
                if model is None:
                    raise CommandError(f"{org.slug}: another move took this one's place")
                if queue.progress(model).is_complete:
                    break
                self._tell(org, model)
            time.sleep(_LOOK_SECONDS)
        with org_scope(org):
            self._tell(org, EmbeddingModel.objects.get(name=name))

    def _tell(self, org: Organization, model: EmbeddingModel) -> None:
        done = queue.progress(model)
        state = "serves" if model.state == SERVING else "is being filled"
        failed = f", {done.failed} failed" if done.failed else ""
        self.stdout.write(
            f"{org.slug}: {model.name} {state}, {done.total - done.missing} of {done.total} vectors{failed}"
        )
