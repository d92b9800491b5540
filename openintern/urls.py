"""Every path of the site. Who may call what is declared by the views (`openintern.tenancy.access`)."""

from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from openintern import health, metrics
from openintern.sites import organization_admin, platform_admin
from openintern.tenancy.access import access, public

urlpatterns = [
    path("", include("openintern.tenancy.urls")),
    path("", include("runs.page_urls")),
    path("", include("teams.page_urls")),
    path("", include("memory.page_urls")),
    path("", include("connectors.page_urls")),
    path("language", public(set_language), name="set_language"),
    path("health", health.report, name="health"),
    path("metrics", metrics.page, name="metrics"),
    path("admin/", organization_admin.urls),
    path("platform/", platform_admin.urls),
    path("api/schema/", access("profile", GET="read")(SpectacularAPIView).as_view(), name="schema"),
    path(
        "api/docs/", access("profile", GET="read")(SpectacularSwaggerView).as_view(url_name="schema"), name="api-docs"
    ),
    path("api/", include("openintern.tenancy.api_urls")),
    path("api/", include("memory.urls")),
    path("api/", include("runs.urls")),
    path("api/", include("teams.urls")),
    path("api/", include("connectors.urls")),
    path("mcp", include("runs.mcp.serving.urls")),
    path("v1/", include("runs.chat_completions.urls")),
]

handler400 = "openintern.refusals.bad_request"
handler403 = "openintern.refusals.permission_denied"
handler404 = "openintern.refusals.not_found"
handler500 = "openintern.refusals.server_error"
