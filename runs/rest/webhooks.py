"""The REST API of webhooks: for an organisation's admins. A secret is shown when it is made, and never again."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Text, body_of, limit_parameter, number_parameter, query_of, scope_of
from openintern.paging import whole_number
from openintern.tenancy.access import access
from openintern.tenancy.identity import CLAIMS
from runs.models import Delivery, Webhook
from runs.outbox import emitting, webhooks
from runs.rest.once import once

_MOST_NUMBER = 2**31 - 1


class WebhookRow(serializers.ModelSerializer[Webhook]):
    """A webhook, and how it fares."""

    webhook_id = serializers.CharField(source="pk")
    event_types = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Webhook
        fields = [
            "webhook_id", "name", "url", "event_types", "rests", "failures", "failing_since", "served_at",
            "old_secret_until", "created_at",
        ]  # fmt: skip


class WebhookWithSecret(WebhookRow):
    """A webhook with its secret, this once."""

    secret = serializers.CharField()

    class Meta(WebhookRow.Meta):
        fields = [*WebhookRow.Meta.fields, "secret"]


class NewWebhook(serializers.Serializer[Any]):
    """An address, and what it is to be told."""

    name = Text(max_length=100)
    url = Text(max_length=2000)
    event_types = serializers.ListField(child=Text(max_length=60), help_text="types of events; `types` lists them")


class DeliveryRow(serializers.ModelSerializer[Delivery]):
    """One message to one webhook."""

    delivery_id = serializers.IntegerField(source="pk")
    message_id = serializers.CharField(help_text="the `webhook-id` that the receiver sees")

    class Meta:
        model = Delivery
        fields = [
            "delivery_id", "message_id", "type", "run_id", "seq", "state", "attempts", "available_at", "status",
            "error", "created_at", "settled_at",
        ]  # fmt: skip


_SENT_AGAIN = inline_serializer("SentAgain", {"queued": serializers.IntegerField()})


@access("webhook", GET="read", POST="change")
class Webhooks(APIView):
    """The organisation's webhooks."""

    @extend_schema(
        operation_id="list_webhooks",
        responses=inline_serializer(
            "WebhookList",
            {"webhooks": WebhookRow(many=True), "types": serializers.ListField(child=serializers.CharField())},
        ),
    )
    def get(self, request: Request) -> Response:
        """List them by name, with all that a webhook can be told of."""
        query_of(request)
        rows = WebhookRow(webhooks.webhooks(scope_of(request)), many=True).data
        return Response({"webhooks": rows, "types": emitting.types()})

    @extend_schema(operation_id="add_webhook", request=NewWebhook, responses={201: WebhookWithSecret})
    def post(self, request: Request) -> Response:
        """Add one. It is told of what happens from now on, signed with the `secret` that is shown this once."""
        hook, secret = webhooks.add(scope_of(request), _told(request))
        return Response({**WebhookRow(hook).data, "secret": secret}, status=201)


@access("webhook", GET="read", PATCH="change", DELETE="change")
class OneWebhook(APIView):
    """One webhook."""

    @extend_schema(operation_id="read_webhook", responses=WebhookRow)
    def get(self, request: Request, webhook_id: str) -> Response:
        """Read it."""
        return Response(WebhookRow(webhooks.find(scope_of(request), webhook_id)).data)

    @extend_schema(operation_id="change_webhook", request=NewWebhook(partial=True), responses=WebhookRow)
    def patch(self, request: Request, webhook_id: str) -> Response:
        """Change what is given of it."""
        return Response(WebhookRow(webhooks.change(scope_of(request), webhook_id, _told(request))).data)

    @extend_schema(operation_id="remove_webhook", responses={204: None})
    def delete(self, request: Request, webhook_id: str) -> Response:
        """Remove it, with all that it was or would have been told."""
        webhooks.remove(scope_of(request), webhook_id)
        return Response(status=204)


@access("webhook", POST="change")
class WebhookRest(APIView):
    """Using a webhook no more."""

    @extend_schema(operation_id="rest_webhook", request=None, responses=WebhookRow)
    @once
    def post(self, request: Request, webhook_id: str) -> Response:
        """Tell it nothing more until somebody wants it to; what waits is given up."""
        return Response(WebhookRow(webhooks.rest(scope_of(request), webhook_id)).data)


@access("webhook", POST="change")
class WebhookUse(APIView):
    """Using a webhook again."""

    @extend_schema(operation_id="use_webhook", request=None, responses=WebhookRow)
    @once
    def post(self, request: Request, webhook_id: str) -> Response:
        """Tell it what happens from now on."""
        return Response(WebhookRow(webhooks.use(scope_of(request), webhook_id)).data)


@access("webhook", POST="change")
class WebhookTest(APIView):
    """Trying a webhook."""

    @extend_schema(operation_id="test_webhook", request=None, responses=DeliveryRow)
    @once
    def post(self, request: Request, webhook_id: str) -> Response:
        """Send it a message of type `webhook.test`; its delivery says what came of it. 409 while it rests."""
        return Response(DeliveryRow(webhooks.test(scope_of(request), webhook_id)).data)


@access("webhook", POST="change")
class WebhookRotate(APIView):
    """A new secret."""

    @extend_schema(
        operation_id="rotate_webhook_secret",
        request=None,
        responses=inline_serializer("NewSecret", {"secret": serializers.CharField()}),
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """Give it a new secret, shown this once; for 24 hours the old one signs too."""
        return Response({"secret": webhooks.rotate(scope_of(request), webhook_id, at=timezone.now())})


@access("webhook", GET="read")
class Deliveries(APIView):
    """What a webhook was told, and will be."""

    @extend_schema(
        operation_id="list_deliveries",
        parameters=[
            OpenApiParameter("state", str, enum=Delivery.State.values),
            number_parameter("before", least=1, most=_MOST_NUMBER, default=_MOST_NUMBER, about="only older ones"),
            limit_parameter(),
        ],
        responses=inline_serializer("DeliveryList", {"deliveries": DeliveryRow(many=True)}),
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        """List deliveries, the newest first."""
        query = query_of(request, "state", "before", "limit")
        found = webhooks.deliveries(
            scope_of(request),
            webhook_id,
            state=query.get("state", ""),
            before=whole_number(query.get("before"), field="before", default=_MOST_NUMBER, least=1, most=_MOST_NUMBER),
            limit=whole_number(query.get("limit"), field="limit", default=20, least=1, most=100),
        )
        return Response({"deliveries": DeliveryRow(found, many=True).data})


@access("webhook", POST="change")
class OneAgain(APIView):
    """One message again."""

    @extend_schema(operation_id="send_delivery_again", request=None, responses=_SENT_AGAIN)
    @once
    def post(self, request: Request, webhook_id: str, delivery_id: int) -> Response:
        """Send one message again, with the same id."""
        return Response({"queued": webhooks.send_again(scope_of(request), webhook_id, delivery_id=delivery_id)})


@access("webhook", POST="change")
class AllAgain(APIView):
    """All dead letters again."""

    @extend_schema(operation_id="send_dead_letters_again", request=None, responses=_SENT_AGAIN)
    @once
    def post(self, request: Request, webhook_id: str) -> Response:
        """Send what was given up again, the oldest first, 1,000 at most."""
        return Response({"queued": webhooks.send_again(scope_of(request), webhook_id)})


def _told(request: Request) -> dict[str, Any]:
    return {name: value for name, value in body_of(request).items() if name not in CLAIMS}
