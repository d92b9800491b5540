"""The REST API of approvals: what agents ask, deciding about it, and the grants that came of it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, Text, body_of, limit_parameter, query_of, scope_of
from openintern.paging import newest_first, whole_number
from openintern.tenancy.access import access
from runs import approvals
from runs.approvals import LONGEST_NOTE, MOST_AT_ONCE, Decision, Verdict
from runs.models import Approval
from runs.rest.once import once


class ApprovalRow(serializers.ModelSerializer[Approval]):
    """One call that waits, or waited, for a person."""

    approval_id = serializers.CharField(source="pk")
    run_id = serializers.CharField()
    session_key = serializers.CharField(source="run.session.key")
    user_id = serializers.CharField(source="run.user.username", help_text="whose run it is")
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True)

    class Meta:
        model = Approval
        fields = [
            "approval_id",
            "run_id",
            "session_key",
            "user_id",
            "agent_id",
            "tool_call_id",
            "step",
            "tool",
            "risk",
            "rule",
            "reason",
            "arguments",
            "edited_arguments",
            "status",
            "covers",
            "note",
            "decided_by",
            "decided_at",
            "created_at",
            "expires_at",
            "revoked_at",
        ]


class Approving(serializers.Serializer[Any]):
    """Saying yes to a call."""

    tool_call_id = Text(max_length=100)
    arguments = serializers.DictField(required=False, help_text="in place of the model's; the tool has to take them")
    covers = Choice(
        Approval.Covers.values, default="call", help_text="`run` and `agent` let later calls of the tool pass too"
    )
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


class Rejecting(serializers.Serializer[Any]):
    """Saying no to a call."""

    tool_call_id = Text(max_length=100)
    reason = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="", help_text="the model reads it")


class Deciding(serializers.Serializer[Any]):
    """The same answer to several questions."""

    ids = serializers.ListField(child=Text(max_length=40), min_length=1, max_length=MOST_AT_ONCE)
    verdict = Choice([verdict.value for verdict in Verdict])
    covers = Choice(["call", "run"], default="call")
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


_DECIDED = inline_serializer(
    "CallDecided",
    {
        "success": serializers.BooleanField(),
        "run_id": serializers.CharField(),
        "tool_call_id": serializers.CharField(),
        "approval": ApprovalRow(),
    },
)


@access("approval", GET="read")
class Approvals(APIView):
    """What agents ask, or asked, people."""

    @extend_schema(
        operation_id="list_approvals",
        parameters=[
            OpenApiParameter("status", str, enum=Approval.Status.values),
            OpenApiParameter("cursor", str, description="where to go on: `next_cursor` of the page before"),
            limit_parameter(),
        ],
        responses=inline_serializer(
            "ApprovalList", {"approvals": ApprovalRow(many=True), "next_cursor": serializers.CharField(allow_null=True)}
        ),
    )
    def get(self, request: Request) -> Response:
        """List the questions of the runs in sight, newest first; `status=pending` is what waits now."""
        query = query_of(request, "status", "cursor", "limit")
        limit = whole_number(query.get("limit"), field="limit", default=20, least=1, most=100)
        rows = approvals.questions(scope_of(request), status=query.get("status", ""))
        page = newest_first(rows, cursor=query.get("cursor"), limit=limit)
        return Response({"approvals": ApprovalRow(page.rows, many=True).data, "next_cursor": page.next_cursor})


@access("approval", GET="read")
class OneApproval(APIView):
    """One question."""

    @extend_schema(operation_id="get_approval", responses=ApprovalRow)
    def get(self, request: Request, approval_id: str) -> Response:
        """Return the question, and what was decided."""
        return Response(ApprovalRow(approvals.find(scope_of(request), approval_id)).data)


@access("approval", DELETE="decide")
class Grant(APIView):
    """An approval that covers more than one call."""

    @extend_schema(operation_id="revoke_grant", responses=ApprovalRow)
    def delete(self, request: Request, approval_id: str) -> Response:
        """End it: later calls of the tool are asked about again."""
        return Response(ApprovalRow(approvals.revoke(scope_of(request), approval_id, at=timezone.now())).data)


@access("approval", POST="decide")
class DecideMany(APIView):
    """Several questions at once."""

    @extend_schema(
        operation_id="decide_approvals",
        request=Deciding,
        responses=inline_serializer(
            "ManyDecided", {"outcomes": serializers.DictField(child=serializers.CharField(), help_text="by approval")}
        ),
    )
    @once
    def post(self, request: Request) -> Response:
        """Decide alike about several; each gets its status or the code of what was in the way."""
        form = Deciding(data=body_of(request))
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        decision = Decision(verdict=Verdict(asked["verdict"]), covers=asked["covers"], note=asked["note"])
        return Response(
            {"outcomes": approvals.decide_many(scope_of(request), asked["ids"], decision, at=timezone.now())}
        )


@access("approval", POST="decide")
class RunApprove(APIView):
    """Letting a call run."""

    @extend_schema(operation_id="approve_call", request=Approving, responses=_DECIDED)
    @once
    def post(self, request: Request, run_id: str) -> Response:
        """Approve a call that waits, with its own or with other arguments."""
        form = Approving(data=body_of(request))
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        decision = Decision(
            verdict=Verdict.APPROVE, covers=asked["covers"], arguments=asked.get("arguments"), note=asked["note"]
        )
        return _decide(request, run_id, asked["tool_call_id"], decision)


@access("approval", POST="decide")
class RunReject(APIView):
    """Refusing a call."""

    @extend_schema(operation_id="reject_call", request=Rejecting, responses=_DECIDED)
    @once
    def post(self, request: Request, run_id: str) -> Response:
        """Reject a call that waits; the model reads the reason and goes on without."""
        form = Rejecting(data=body_of(request))
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        return _decide(request, run_id, asked["tool_call_id"], Decision(verdict=Verdict.REJECT, note=asked["reason"]))


def _decide(request: Request, run_id: str, tool_call_id: str, decision: Decision) -> Response:
    approval = approvals.decide(scope_of(request), run_id, tool_call_id, decision, at=timezone.now())
    return Response(
        {
            "success": True,
            "run_id": run_id,
            "tool_call_id": tool_call_id,
            "approval": ApprovalRow(approval).data,
        }
    )
