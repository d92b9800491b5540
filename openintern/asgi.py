"""The web process: `uvicorn openintern.asgi:application`, or any other ASGI server."""

import os
import warnings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openintern.settings")
os.environ.setdefault("OPENINTERN_DATABASE_POOL", "on")
os.environ.setdefault("OPENINTERN_PROCESS", "openintern-web")

from django.core.asgi import get_asgi_application

# Files are read as files are, a piece at a time; in a log of JSON lines the warning says nothing to anybody.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

http = get_asgi_application()  # what follows needs the applications that this sets up

from django.conf import settings  # noqa: E402

from openintern.body_limit import BodyLimit  # noqa: E402
from openintern.live.entrance import by_protocol  # noqa: E402

application = by_protocol(http=BodyLimit(http, larger=settings.LARGER_BODIES))
