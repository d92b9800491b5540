"""Agents as models: OpenAI's own client talks to them over HTTP, and each call is a run like any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from django.db import connections
from django.utils import timezone
from openai import OpenAI

from openintern.tenancy import keys
from openintern.tenancy.scope import org_scope
from runs import approvals
from runs.engine import conversation
from runs.llm import scripted
from runs.models import Approval, Run
from runs.queue.worker import work_once
from teams.models import Role
from tests.conftest import Cast, Person, reload
from tests.live.conftest import Server
from tests.runs import conftest as of_runs
from tests.runs.conftest import a_pulse, clear_queue, eventually
from tests.teams.rosters import make_team

add_tool = of_runs.add_tool  # a fixture


@pytest.fixture
def worker(committed: Cast) -> Iterator[None]:
    """Somebody who does all work that comes up, as long as the test lasts."""
    clear_queue()
    over = threading.Event()

    def work() -> None:
        with a_pulse() as pulse:
            while not over.is_set():
                if not work_once(pulse):
                    over.wait(0.02)
        connections.close_all()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()
    scripted.forget()
    thread.join(20)
    clear_queue()


@pytest.fixture
def clients(server: Server) -> Iterator[Callable[[str], OpenAI]]:
    opened: list[OpenAI] = []

    def open_client(key: str) -> OpenAI:
        opened.append(OpenAI(base_url=f"{server.url}/v1", api_key=key, timeout=30))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def client(clients: Callable[[str], OpenAI], committed: Cast) -> OpenAI:
    return clients(committed.alice.api_key)


def said(*texts: str) -> list[Any]:
    """A talk, the user first."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def play(name: str, *steps: dict[str, Any]) -> str:
    scripted.play(name, *steps)
    return f"main@scripted/{name}"


def latest(person: Person) -> Run:
    with org_scope(person.org):
        return Run.objects.select_related("session").filter(user=person.user).order_by("-created_at")[0]


def heard(person: Person, run: Run) -> list[tuple[str, str]]:
    """What the model was told before the run's own events, the system message left out."""
    with org_scope(person.org):
        return [(turn["role"], turn["content"]) for turn in conversation.opening(run)[1:]]


def test_the_agents_are_listed_as_models(client: OpenAI) -> None:
    listed = [(model.id, model.owned_by) for model in client.models.list()]

    assert listed[0] == ("main", "acme")
    assert all(model.startswith(("role_", "team:", "group:")) for model, _ in listed[1:])


def test_a_team_is_a_model_that_answers_what_its_lead_does(client: OpenAI, worker: None, committed: Cast) -> None:
    scripts: dict[str, Any] = {"a": [{"text": "The sky is blue."}], "lead": [{"text": "Paint it."}]}
    group = make_team(committed.alice, lead="lead", scripts=scripts)
    model = f"team:{group.name}"

    listed = [model.id for model in client.models.list()]
    whole = client.chat.completions.create(model=model, messages=said("Which colour?"))
    chunks = list(client.chat.completions.create(model=model, messages=said("Which colour?"), stream=True))

    assert model in listed
    assert (whole.choices[0].message.content, whole.model) == ("Paint it.", model)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Paint it."
    assert latest(committed.alice).group_id == group.pk


def test_a_team_out_of_sight_is_no_model(clients: Callable[[str], OpenAI], committed: Cast) -> None:
    group = make_team(committed.alice, scripts={"a": [{"text": "Hello."}]})

    for model in (f"team:{group.name}", f"group:{group.pk}"):
        with pytest.raises(openai.NotFoundError):
            clients(committed.charlie.api_key).chat.completions.create(model=model, messages=said("hello"))


@pytest.mark.parametrize("words", ["Good day to you", "你好，世界。 一切顺利"])
def test_an_answer_comes_whole_or_piece_by_piece(client: OpenAI, worker: None, committed: Cast, words: str) -> None:
    model = play("greeting", {"text": words, "usage": [7, 5]}, {"text": words, "usage": [7, 5]})

    whole = client.chat.completions.create(model=model, messages=said("hello"))
    chunks = list(
        client.chat.completions.create(
            model=model, messages=said("hello"), stream=True, stream_options={"include_usage": True}
        )
    )

    run = latest(committed.alice)
    assert whole.choices[0].message.content == words
    assert (whole.choices[0].finish_reason, whole.model, whole.usage.total_tokens) == ("stop", "main", 12)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == words
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == ([], 7, 5)
    assert {chunk.id for chunk in chunks} == {f"chatcmpl-{run.pk}"}


def test_what_is_said_is_sent_while_it_is_said(client: OpenAI, worker: None) -> None:
    model = play("slow", {"text": "so far", "hold": "the rest"})
    with client.chat.completions.create(model=model, messages=said("go"), stream=True) as chunks:
        first = next(text for chunk in chunks if (text := chunk.choices[0].delta.content))
        scripted.release("the rest")
        rest = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert first
    assert first + rest == "so far"


def test_the_words_of_all_steps_are_told_in_both_forms(client: OpenAI, worker: None) -> None:
    steps = [{"text": "Let me look.", "tool_calls": [{"name": "list_files", "arguments": {}}]}, {"text": "Nothing."}]
    model = play("steps", *steps, *steps)

    whole = client.chat.completions.create(model=model, messages=said("what is there?"))
    chunks = list(client.chat.completions.create(model=model, messages=said("what is there?"), stream=True))

    assert whole.choices[0].message.content == "Let me look.\n\nNothing."
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Let me look.\n\nNothing."


def test_a_talk_goes_on_in_its_session_and_is_heard_once(client: OpenAI, worker: None, committed: Cast) -> None:
    model = play("talk", *({"text": text} for text in ("one", "two", "again", "else")))

    client.chat.completions.create(model=model, messages=said("first"))
    first = latest(committed.alice)
    client.chat.completions.create(model=model, messages=said("first", "one", "second"))
    second = latest(committed.alice)
    client.chat.completions.create(model=model, messages=said("first", "ONE, as I wished", "second"))
    edited = latest(committed.alice)
    client.chat.completions.create(model=model, messages=said("first"))

    assert second.session == first.session
    assert heard(committed.alice, second) == [("user", "first"), ("assistant", "one"), ("user", "second")]
    assert heard(committed.alice, edited) == [
        ("user", "first"),
        ("assistant", "ONE, as I wished"),
        ("user", "second"),
    ]
    assert latest(committed.alice).session not in {first.session, edited.session}
    assert heard(committed.alice, latest(committed.alice)) == [("user", "first")]


def test_a_client_may_name_the_session_and_instruct_the_agent(client: OpenAI, worker: None, committed: Cast) -> None:
    model = play("named", {"text": "ok"})
    messages = [
        {"role": "system", "content": "Speak like a sailor."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]

    answer = client.chat.completions.with_raw_response.create(
        model=model, messages=messages, extra_headers={"X-Session-Key": "s_harbour"}
    )

    run = latest(committed.alice)
    assert (answer.headers["x-run-id"], answer.headers["x-session-key"]) == (run.pk, "s_harbour")
    assert (run.session.key, run.input) == ("s_harbour", "a\nb")
    with org_scope(committed.alice.org):
        assert conversation.opening(run)[0]["content"].endswith("says:\nSpeak like a sailor.")


def test_a_task_that_waits_for_a_person_says_so_and_is_heard_of_later(
    client: OpenAI, worker: None, committed: Cast, add_tool: Callable[..., Any]
) -> None:
    def send(context: Any) -> dict[str, Any]:
        """Send it."""
        return {"sent": True}

    add_tool(send, risk="high", mutating=True)
    ask = {"tool_calls": [{"name": "send", "arguments": {}}]}
    model = play("asks", ask, {"text": "It is sent."}, {"text": "You are welcome."})

    waiting = client.chat.completions.create(model=model, messages=said("send it"))
    run = latest(committed.alice)
    note = waiting.choices[0].message.content
    talk = said("send it", note, "thanks")
    with pytest.raises(openai.ConflictError, match=f"/trace/{run.pk}"):
        client.chat.completions.create(model=model, messages=talk)
    approve(committed.alice, run)
    eventually(lambda: reload(committed.alice, run).is_final)
    thanked = client.chat.completions.create(model=model, messages=talk)

    assert note.startswith("This task waits for a person to decide: http://127.0.0.1:")
    assert note.endswith(f"/trace/{run.pk}")
    assert thanked.choices[0].message.content == "You are welcome."
    assert heard(committed.alice, latest(committed.alice)) == [
        ("user", "send it"),
        ("assistant", f"{note}\n\nIt is sent."),
        ("user", "thanks"),
    ]


def approve(person: Person, run: Run) -> None:
    with org_scope(person.org):
        call = Approval.objects.get(run=run, status="pending").tool_call_id
        approved = approvals.Decision(verdict=approvals.Verdict.APPROVE)
        approvals.decide(person.scope, run.pk, call, approved, at=timezone.now())


@pytest.mark.parametrize("is_streamed", [True, False])
def test_whoever_hangs_up_cancels_the_run(server: Server, worker: None, committed: Cast, is_streamed: bool) -> None:
    model = play("held", {"text": "so far", "hold": "for ever"})
    body = {"model": model, "messages": said("go"), "stream": is_streamed}

    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.Client(base_url=server.url, headers=committed.alice.headers, timeout=2) as http,
        http.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        answer.read()

    eventually(lambda: reload(committed.alice, latest(committed.alice)).status == "cancelled")


def test_a_run_that_fails_is_an_error_and_is_not_sent_again(client: OpenAI, worker: None, committed: Cast) -> None:
    model = play("fails", *[{"error": "LLM_BAD_REQUEST", "message": "no such thing"}] * 2)

    with pytest.raises(openai.UnprocessableEntityError, match="no such thing") as refused:
        client.chat.completions.create(model=model, messages=said("a failure"))
    with pytest.raises(openai.APIError, match="no such thing"):
        list(client.chat.completions.create(model=model, messages=said("a failure"), stream=True))

    assert refused.value.code == "llm_bad_request"
    with org_scope(committed.alice.org):
        assert Run.objects.filter(input="a failure").count() == 2


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, "input"),
        ({"messages": [{"role": "user", "content": "a\x00b"}]}, "body"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]}, None),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"temperature": 9}, "temperature"),
        ({"model": "main@openai/huggingface/x"}, "llm_config.model"),
        ({"model": "main@nowhere/x"}, "llm_config.provider"),
    ],
)
def test_what_cannot_be_done_is_refused(client: OpenAI, changes: dict[str, Any], param: str | None) -> None:
    body = {"model": "main@mock/mock", "messages": said("hello"), **changes}

    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**body)

    assert refused.value.type == "invalid_request_error"
    assert param is None or refused.value.param == param


def test_a_role_is_a_model(client: OpenAI, worker: None, committed: Cast) -> None:
    with org_scope(committed.alice.org):
        role = Role.objects.create(name="Harbour master", system_prompt="You are the harbour master.")
    scripted.play("as a role", {"text": "Aye."})

    listed = [model.id for model in client.models.list()]
    answer = client.chat.completions.create(model=f"{role.pk}@scripted/as a role", messages=said("hello"))

    run = latest(committed.alice)
    assert role.pk in listed
    assert (answer.model, answer.choices[0].message.content) == (role.pk, "Aye.")
    assert (run.agent_id, run.config["prompt"].startswith("You are the harbour master.")) == (role.pk, True)
    with org_scope(committed.alice.org):
        role.delete()


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model gpt-4o"):
        client.chat.completions.create(model="gpt-4o", messages=said("hello"))


def test_only_a_key_that_may_start_runs_gets_in(
    clients: Callable[[str], OpenAI], server: Server, committed: Cast
) -> None:
    reading = keys.create_api_key(org=committed.alice.org, user=committed.alice.user, scopes=["read"])[1]
    cookie = committed.alice.signed_in().cookies["sessionid"].value

    with pytest.raises(openai.AuthenticationError):
        clients("sk-nothing").models.list()
    for key in (committed.victor.api_key, reading):
        with pytest.raises(openai.PermissionDeniedError):
            clients(key).chat.completions.create(model="main", messages=said("hello"))
    by_cookie = httpx.post(
        f"{server.url}/v1/chat/completions", json={"model": "main"}, cookies={"sessionid": cookie}, timeout=20
    )
    assert by_cookie.status_code == 403
    assert by_cookie.json()["error"]["type"] == "permission_error"


def test_charlie_cannot_go_on_with_alices_talk(clients: Callable[[str], OpenAI], worker: None, committed: Cast) -> None:
    alice, charlie = committed.alice, committed.charlie
    model = play("secrets", {"text": "the canary is yellow"}, {"text": "what canary?"}, {"text": "none"})
    clients(alice.api_key).chat.completions.create(model=model, messages=said("tell me"))
    hers = latest(alice)

    for answer in ("the canary is yellow", f"waits: /trace/{hers.pk}"):
        clients(charlie.api_key).chat.completions.create(model=model, messages=said("tell me", answer, "more"))
        assert latest(charlie).config["follows"] is None
        assert "yellow" not in json.dumps(heard(charlie, latest(charlie))[2:])
