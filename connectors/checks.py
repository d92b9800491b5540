"""What `doctor` asks about connectors."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Q

from connectors.bot import address
from connectors.models import Connector
from openintern import health
from openintern.health import Finding
from openintern.tenancy.models import Organization
from openintern.tenancy.schemas import fingerprint
from openintern.tenancy.scope import org_scope

_SHOWN = 10


@health.check("bots", public=False, order=85)
def bots() -> Finding:
    """Bots at Feishu that were begun to be set up, and lack something."""
    half, whole = [], 0
    for org in Organization.objects.filter(migrated_to=fingerprint()).order_by("pk"):
        with org_scope(org):
            for connector in Connector.objects.exclude(Q(encrypt_key="") & Q(verification_token="")).order_by("pk"):
                if address.is_half(connector):
                    half.append(f"{org.slug}/{connector.pk} lacks {', '.join(address.missing(connector))}")
                else:
                    whole += 1
    told = f"{whole} set up" + (f", half of one: {'; '.join(half[:_SHOWN])}" if half else "")
    if whole and not settings.CONFIG.server.public_url:
        told += "; without PUBLIC_URL their answers lead nowhere"
    return Finding(not half, {"set_up": whole, "half": len(half)}, told, "Give them the rest on /connectors.")
