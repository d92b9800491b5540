"""A document that an agent asks for: taken in at once, or refused with a reason that the agent can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.models import Connector
from connectors.one_document import Wanted, take_in
from memory.models import Memory
from openintern.errors import OpenInternError
from openintern.tenancy.scope import Scope
from runs.tools import registry
from tests.peers.feishu import Feishu
from tests.peers.feishu.world import Node

Connect = Callable[..., Connector]


def test_it_is_shared_by_the_project_or_ones_own(peer: Feishu, scope: Scope, connect: Connect) -> None:
    connect()
    peer.world.write("doc1", "The pangolin sleeps.", title="Guide")
    chunking = {"target_tokens": 120, "max_tokens": 240, "min_tokens": 40}

    shared = take_in(scope, Wanted(token="doc1", metadata={"team": "ops"}, chunking=chunking))
    again = take_in(scope, Wanted(url="https://acme.feishu.cn/docx/doc1?from=x", title="Mine", shared=False))

    assert (shared["source_key"], shared["document_id"], shared["revision_id"]) == ("docx:doc1", "doc1", "1")
    assert (shared["title"], shared["replaced"], shared["chunk_count"]) == ("Guide", False, 1)
    kept = Memory.objects.get(pk=shared["memory_id"])
    assert (kept.shelf.project, kept.metadata["team"], kept.source_type) == (scope.project, "ops", "feishu_docx")
    assert Memory.objects.get(pk=again["memory_id"]).shelf.user == scope.user
    assert take_in(scope, Wanted(token="doc1"))["replaced"] is True


def test_a_wiki_page_is_resolved(peer: Feishu, scope: Scope, connect: Connect) -> None:
    connect()
    peer.world.write("doc1", "Words")
    peer.world.nodes["wiki1"] = Node("wiki1", "docx", "doc1", "Page")

    assert take_in(scope, Wanted(url="https://acme.feishu.cn/wiki/wiki1"))["document_id"] == "doc1"


def test_a_key_that_is_given_takes_no_other_sources_place(peer: Feishu, scope: Scope, connect: Connect) -> None:
    connect()
    peer.world.write("doc1", "One")
    peer.world.write("doc2", "Two")
    first = take_in(scope, Wanted(token="doc1"))

    second = take_in(scope, Wanted(token="doc2", source_key="docx:doc1"))

    assert second["memory_id"] != first["memory_id"]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (Wanted(), "FEISHU_DOC_TOKEN_REQUIRED"), (Wanted(url="https://acme.feishu.cn/"), "FEISHU_DOC_URL_INVALID"),
        (Wanted(token="../x"), "FEISHU_DOC_URL_INVALID"), (Wanted(token="missing"), "FEISHU_REFUSED"),
        (Wanted(token="doc1", chunking={"max_tokens": 1}), "FEISHU_CHUNKING_INVALID"),
        (Wanted(token="doc1", source_key="a b"), "VALIDATION_ERROR"),
    ],
)  # fmt: skip
def test_what_can_not_be_had_is_refused_by_name(
    peer: Feishu, scope: Scope, connect: Connect, wanted: Wanted, code: str
) -> None:
    connect()
    peer.world.write("doc1", "Words")

    with pytest.raises(OpenInternError) as refusal:
        take_in(scope, wanted)

    assert refusal.value.code == code


def test_without_a_connector_the_agent_is_told(scope: Scope, peer: Feishu) -> None:
    tool: Any = registry.tools()["feishu_ingest_doc"]

    with pytest.raises(registry.ToolError, match="FEISHU_DISABLED"):
        tool.function(type("Context", (), {"scope": scope})(), doc_token="doc1")


def test_another_projects_connector_is_no_way_in(peer: Feishu, scope: Scope, connect: Connect, alice: Any) -> None:
    from openintern.tenancy import people

    connect()
    other = people.create_project("elsewhere", org=alice.org, name="Elsewhere", by=alice.user)

    with pytest.raises(OpenInternError) as refusal:
        take_in(replace(scope, project=other), Wanted(token="doc1"))

    assert refusal.value.code == "FEISHU_DISABLED"
