"""The web process: `uvicorn openintern.asgi:application`, or any other ASGI server."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openintern.settings")
os.environ.setdefault("OPENINTERN_DATABASE_POOL", "on")
os.environ.setdefault("OPENINTERN_PROCESS", "openintern-web")

from django.core.asgi import get_asgi_application

from openintern.body_limit import BodyLimit

application = BodyLimit(get_asgi_application())
