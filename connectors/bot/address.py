"""Where Feishu finds a connector's bot, and what the connector lacks for one."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from connectors.models import Connector
from openintern.tenancy.models import Organization

#: What a bot needs, by the name of its column.
NEEDED = ("app_id", "app_secret", "encrypt_key", "verification_token")


def events_url(connector: Connector, org: Organization, *, site: str = "") -> str:
    """Return the address that the app's events are sent to. `site` stands in where the operator has told none."""
    return (settings.CONFIG.server.public_url or site) + reverse("feishu-events", args=[org.slug, connector.pk])


def missing(connector: Connector) -> list[str]:
    """Return what the bot lacks: nothing where it works, all but the app where none is wanted."""
    return [name for name in NEEDED if not getattr(connector, name)]


def is_half(connector: Connector) -> bool:
    """Whether somebody began to set a bot up, and something is missing."""
    return bool(connector.encrypt_key or connector.verification_token) and bool(missing(connector))
