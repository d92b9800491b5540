"""An event that was believed, as it is given to whoever takes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.models import Connector
from openintern.tenancy.models import Organization


@dataclass(frozen=True)
class Arrival:
    """What `event` holds is text from outside: Feishu says that it happened, not that there is sense in it."""

    connector: Connector
    org: Organization
    event_id: str
    type: str
    event: dict[str, Any]
    at: datetime
