"""Django's settings, made from the configuration (`openintern.configuration`: file < environment < command line)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django_stubs_ext
import structlog
from django.utils.translation import gettext_lazy as _

from openintern import configuration
from openintern.database import database_settings
from openintern.redaction import redact_log

django_stubs_ext.monkeypatch()  # lets classes of Django be named with what they hold, as in ModelAdmin[Run]

BASE_DIR = Path(__file__).resolve().parent.parent
CONFIG = configuration.load()

SECRET_KEY = CONFIG.server.secret_key
DEBUG = False
ALLOWED_HOSTS = list(CONFIG.server.allowed_hosts)
ROOT_URLCONF = "openintern.urls"
ASGI_APPLICATION = "openintern.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "tenancy.User"

# --- applications: what is shared lives in `public`, what belongs to an organisation in its own schema

TENANT_MODEL = "tenancy.Organization"
SHARED_APPS = [
    "openintern",
    "openintern.tenancy",  # before django_tenants, whose migrate_schemas it replaces
    "openintern.apps.AdminConfig",  # before django_tenants, whose list of applications hides a tenant's
    "django_tenants",
    "runs.queue",  # before django_q, whose qcluster it replaces
    "django_q",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
]
TENANT_APPS = ["memory", "runs", "teams", "connectors"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_LIMIT_SET_CALLS = True  # one SET search_path per scope, not one per query

DATABASES = {"default": database_settings(CONFIG)}

# --- requests

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "openintern.requests.RequestMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "openintern.metrics.MetricsMiddleware",  # before identity, for which a scraper's token would be a wrong key
    "openintern.tenancy.identity.IdentityMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
LARGER_BODIES = dict.fromkeys(("/api/documents", "/memory/documents"), 33 * 1024 * 1024)  # a document of 32 MiB
LARGER_BODIES |= dict.fromkeys(("/api/mineru/ingest-batch", "/mineru"), 1025 * 1024 * 1024)  # PDFs, 1 GiB together
APPEND_SLASH = False

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "openintern.pages.shell",
            ],
        },
    },
]

STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("STATIC_ROOT") or None  # for those who serve them with another program
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # served from the packages themselves: no collectstatic before the first start

# --- identity and its protection

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
_TLS = os.environ.get("OPENINTERN_TLS", "").lower() in {"1", "on", "true"}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _TLS
SECURE_HSTS_SECONDS = 31536000 if _TLS else 0
# whether other names of the domain follow, and where plain HTTP is sent to TLS, is for who runs the proxy to say
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
CSRF_FAILURE_VIEW = "openintern.refusals.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    # the admin's and the API browser's own pages come with inline styles; they are not reached by model text
    "EXCLUDE_URL_PREFIXES": ("/admin/", "/platform/", "/api/docs"),
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
    },
}

# --- API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["openintern.api.SettledIdentity"],
    "DEFAULT_PERMISSION_CLASSES": [],  # IdentityMiddleware has decided by the view's declared access
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "openintern.api.answer_exception",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,  # `format` is a parameter of ours: it says which file an export is
}
SPECTACULAR_SETTINGS = {
    "TITLE": "OpenIntern",
    "DESCRIPTION": "Runs of AI agents and what they remember: start them, watch them live, stop them, read everything they did.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "runs.models.Run.Status",
        "EffectStatus": "runs.models.Effect.Status",
        "MemoryTier": "memory.models.Tier",
        "MemoryChangeState": "memory.models.State",
        "MemoryChangeKind": "memory.models.Change.Kind",
        "McpServerState": "runs.models.McpServer.State",
        "GroupMode": "teams.models.Group.Mode",
        "OnMemberFailure": "teams.models.Group.OnFailure",
        "BoardEntryKind": "teams.models.BoardEntry.Kind",
        "TodoStatus": "teams.models.BoardEntry.Status",
        "DocumentState": "memory.models.Document.State",
        "ConnectorStatus": "connectors.models.Connector.Status",
        "SyncStatus": "connectors.models.SyncJob.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "runs.rest.schema.describe_stream",
        "connectors.schema.describe_progress",
        "teams.rest.board_stream.describe_stream",
        "openintern.schema.describe_refusals",
    ],
}

# --- work: django-q2 supplies processes and schedules; which run is next is decided in runs.queue

Q_CLUSTER = {
    "name": "openintern",
    "orm": "default",
    "broker_class": "runs.queue.broker.ListeningBroker",
    "workers": int(os.environ.get("OPENINTERN_WORKERS", "2")),
    "queue_limit": 1,  # nothing is taken ahead of the worker that will do it
    "bulk": 1,
    "timeout": 2_000_000,  # 23 days: a run's deadline is its own, and so is the decision to do it again
    "retry": 2_100_000,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,  # what was due many times while nobody was there is done once
    "poll": 0,  # the broker has slept already
    "recycle": 10_000,
    "label": _("Background work"),
    "log_level": "WARNING",
}

# --- live streams

EVENTSTREAM_STORAGE_CLASS = "runs.stream.EventTableStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "runs.stream.RunChannels"
WEBSOCKET_URLCONF = "runs.sockets"

# --- language and time

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]

# --- logs: one line per event, JSON unless somebody watches

_shared_processors: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    redact_log,
]
structlog.configure(
    processors=[*_shared_processors, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=True),
            ],
            "foreign_pre_chain": _shared_processors,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("OPENINTERN_LOG_LEVEL", "WARNING").upper()},
    "loggers": {
        "django-q": {"handlers": ["stderr"], "propagate": False},
        "django.request": {"level": "ERROR"},  # a refusal is an answer; the audit has those that matter
    },
}
