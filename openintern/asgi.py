"""The web process: `uvicorn openintern.asgi:application`, or any other ASGI server."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openintern.settings")
os.environ.setdefault("OPENINTERN_DATABASE_POOL", "on")
os.environ.setdefault("OPENINTERN_PROCESS", "openintern-web")

from django.core.asgi import get_asgi_application

http = get_asgi_application()  # what follows needs the applications that this sets up

from django.conf import settings  # noqa: E402

from openintern.body_limit import BodyLimit  # noqa: E402
from openintern.live.entrance import by_protocol  # noqa: E402

application = by_protocol(http=BodyLimit(http, larger=settings.LARGER_BODIES))
