"""Which application answers: HTTP by Django, WebSockets by the consumers that WEBSOCKET_URLCONF names."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import re_path
from django.utils.module_loading import import_string

from openintern.errors import NotFound
from openintern.live.sockets import Socket
from openintern.tenancy.access import access


@access("profile", GET="read")
class Nowhere(Socket):
    """The socket at every address where there is none."""

    async def open(self) -> None:
        raise NotFound("Socket")


def by_protocol(*, http: Any) -> Any:
    """Return the ASGI application that hands each connection to the one that speaks its protocol."""
    routes = import_string(f"{settings.WEBSOCKET_URLCONF}.urlpatterns")
    return ProtocolTypeRouter({"http": http, "websocket": URLRouter([*routes, re_path(r"", Nowhere.as_asgi())])})
