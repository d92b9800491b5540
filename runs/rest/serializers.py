"""The API's forms: what may be sent, and what is answered. The OpenAPI document is made from these."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from openintern.api import Choice, Number, Text, WholeNumber
from runs.files.attachments import MOST
from runs.models import DEFAULT_AGENT, DEFAULT_SESSION_KEY, SESSION_KEY_PATTERN, Effect, Run, Session
from runs.multitask import Strategy
from runs.pinning import TEAM
from runs.settlement import LONGEST_NOTE, Outcome

NO_SESSION_KEY: dict[str, Any] = {"invalid": "Must be s_ and after it 1 to 100 letters, digits or _"}


class LlmConfig(serializers.Serializer[Any]):
    """Which model to use, of those the operator allows."""

    provider = Text(max_length=50, required=False)
    model = Text(max_length=200, required=False)
    base_url = Text(max_length=500, required=False)
    temperature = Number(min_value=0, max_value=2, required=False)
    max_tokens = WholeNumber(min_value=1, max_value=1_000_000, required=False)


class Attachment(serializers.Serializer[Any]):
    """An upload of one's own that the run is given."""

    upload_id = Text(max_length=40)


class NewRun(serializers.Serializer[Any]):
    """A task. `org_id`, `user_id` and `project_id` may be sent along; they have been looked at before this."""

    input = Text(trim_whitespace=False)
    session_key = serializers.RegexField(
        f"^{SESSION_KEY_PATTERN}$", default=DEFAULT_SESSION_KEY, error_messages=NO_SESSION_KEY
    )
    agent_id = Text(max_length=100, default=DEFAULT_AGENT)
    role_id = Text(max_length=40, required=False, allow_blank=True, default="", help_text="the part the agent plays")
    group_id = Text(max_length=40, required=False, allow_blank=True, default="", help_text="the team that works on it")
    llm_config = LlmConfig(required=False)
    attachments = serializers.ListField(child=Attachment(), max_length=MOST, required=False)
    multitask_strategy = Choice([strategy.value for strategy in Strategy], default=Strategy.ENQUEUE.value)


class Injection(serializers.Serializer[Any]):
    """Something to say to a run that is under way."""

    message = Text(trim_whitespace=False)
    role = Choice(["user"], default="user")


class Settlement(serializers.Serializer[Any]):
    """What a person found out about a tool call in doubt."""

    outcome = Choice([outcome.value for outcome in Outcome])
    result = serializers.DictField(required=False, help_text="what the call returned, if it happened")
    note = Text(max_length=LONGEST_NOTE, required=False, allow_blank=True, default="")


class EffectRow(serializers.ModelSerializer[Effect]):
    """One tool call."""

    class Meta:
        model = Effect
        fields = ["tool_call_id", "step", "tool", "recovery", "status", "attempt", "rule"]


class RunMeta(serializers.ModelSerializer[Run]):
    """A run in a list."""

    run_id = serializers.CharField(source="pk")
    session_key = serializers.CharField(source="session.key")
    user_id = serializers.CharField(source="user.username")
    project_id = serializers.CharField(source="project.slug", default=None, allow_null=True)
    started_at = serializers.SerializerMethodField()
    event_count = serializers.IntegerField(source="last_seq")
    parent_run_id = serializers.CharField(source="parent_id", default=None, allow_null=True)
    group_id = serializers.SerializerMethodField()
    model = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = [
            "run_id",
            "session_key",
            "user_id",
            "project_id",
            "agent_id",
            "status",
            "attempt",
            "model",
            "created_at",
            "started_at",
            "ended_at",
            "duration_ms",
            "event_count",
            "tool_call_count",
            "parent_run_id",
            "group_id",
            "input",
        ]

    def get_started_at(self, run: Run) -> str:
        """When work began; for a run that hasn't started, when it was accepted."""
        return (run.started_at or run.created_at).isoformat().replace("+00:00", "Z")

    def get_group_id(self, run: Run) -> str | None:
        """The team whose run it is, or is part of."""
        return run.group_id or None

    def get_model(self, run: Run) -> str:
        """The model's provider and name."""
        return f"{run.config['model']['provider']}/{run.config['model']['model']}"


class RunDetail(RunMeta):
    """One run with what came of it."""

    usage = serializers.SerializerMethodField()

    class Meta(RunMeta.Meta):
        fields = [*RunMeta.Meta.fields, "output", "error", "usage", "step", "taint", "config"]

    config = serializers.SerializerMethodField()

    def get_usage(self, run: Run) -> dict[str, Any]:
        """Tokens and cost (USD) so far."""
        return {
            "prompt_tokens": run.prompt_tokens,
            "completion_tokens": run.completion_tokens,
            "total_tokens": run.prompt_tokens + run.completion_tokens,
            "cost_usd": str(run.cost),
        }

    def get_config(self, run: Run) -> dict[str, Any]:
        """What the run began with, the prompts aside."""
        told = _without_prompt(run.config)
        if team := told.get(TEAM):
            members = [one | {"config": _without_prompt(one["config"])} for one in team["members"]]
            told[TEAM] = team | {"members": members}
        return told


def _without_prompt(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in {"prompt", "history"}}


class SessionMeta(serializers.ModelSerializer[Session]):
    """A conversation in a list."""

    session_key = serializers.CharField(source="key")

    class Meta:
        model = Session
        fields = ["session_key", "title", "created_at", "active_at"]
