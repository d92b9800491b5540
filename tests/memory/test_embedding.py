"""Vectors follow what was written: each text once, whatever fails on the way, and without holding up a search."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from django.conf import settings
from django.contrib.postgres.functions import TransactionNow
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from memory import search
from memory.embedding import filling, moving, ports, queries, queue
from memory.embedding.ports import EmbeddingError, Vector
from memory.embedding.serving import serving_model
from memory.models import Embedding, EmbeddingModel, Passage
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.models import Organization
from openintern.tenancy.people import create_organization
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast, Person
from tests.faults.processes import wait_until
from tests.memory.conftest import Remember, found
from tests.peers.embeddings import EmbeddingPeer, embedding_peer

ROOT = Path(__file__).resolve().parent.parent.parent
PROVIDER = "openai/text-embedding-tiny"


class Recorder:
    """A model that notes what it is asked; texts that hold `refused` fail, and so does everything while it is away."""

    def __init__(self, *, dimensions: int = 4) -> None:
        self.dimensions = dimensions
        self.batches: list[list[str]] = []
        self.is_away = False

    def query(self, text: str) -> Vector:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        self.batches.append(list(texts))
        if self.is_away:
            raise EmbeddingError("nobody answers")
        if any("refused" in text for text in texts):
            raise EmbeddingError("it doesn't like this text")
        return [ports.unit(np.linspace(1, len(text), self.dimensions, dtype=np.float32)) for text in texts]

    @property
    def asked(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the models of other tests."""
    monkeypatch.setattr(ports, "_provided", {})
    monkeypatch.setattr(queries, "_rests_until", {})
    queries._vector.cache_clear()


@pytest.fixture
def model(in_acme: None) -> Recorder:
    """A model that serves Alice's organisation."""
    recorder = Recorder()
    ports.provide("recorder", recorder)
    EmbeddingModel.objects.all().delete()
    EmbeddingModel.objects.create(name="recorder", state=EmbeddingModel.State.SERVING)
    return recorder


def let_time_pass() -> None:
    """What waits is due."""
    Embedding.objects.filter(vector__isnull=True).update(available_at=Now())


def missing() -> int:
    return Embedding.objects.filter(vector__isnull=True).count()


def test_texts_go_to_the_model_in_batches_and_equal_ones_once(
    model: Recorder, note: Remember, alice: Person, bob: Person
) -> None:
    for number in range(20):
        note(f"note {number}", owner=Owner.of_user(alice.user))
        note(f"note {number % 10}", owner=Owner.of_user(bob.user))

    while filling.fill_batch():
        pass

    assert missing() == 0
    assert sorted(set(model.asked)) == sorted(f"note {number}" for number in range(20))
    assert [len(batch) for batch in model.batches] == [16, 4] or len(model.asked) <= 25
    assert all(1 <= len(batch) <= filling.BATCH for batch in model.batches)


def test_a_text_that_was_embedded_before_has_its_vector_at_once(
    model: Recorder, note: Remember, alice: Person, bob: Person
) -> None:
    note("the same in two places", owner=Owner.of_user(alice.user))
    filling.fill_batch()

    note("the same in two places", owner=Owner.of_user(bob.user))

    assert missing() == 0
    assert model.asked == ["the same in two places"]


def test_one_text_that_fails_holds_back_no_other(model: Recorder, note: Remember, alice: Person) -> None:
    for text in ("fine one", "refused", "fine two"):
        note(text, owner=Owner.of_user(alice.user))

    filling.fill_batch()
    let_time_pass()
    filling.fill_batch()

    [left] = Embedding.objects.filter(vector__isnull=True)
    assert left.passage.text == "refused"
    assert left.error == "it doesn't like this text"
    assert set(found(alice.scope, "refused")) == {"fine one", "refused", "fine two"}


def test_a_text_that_always_fails_is_given_up_until_somebody_asks_again(
    model: Recorder, note: Remember, alice: Person
) -> None:
    note("refused", owner=Owner.of_user(alice.user))
    for _ in range(queue.MOST_ATTEMPTS + 3):
        filling.fill_batch()
        let_time_pass()

    assert len(model.batches) == queue.MOST_ATTEMPTS
    assert queue.progress(serving_model()) == queue.Progress(total=1, missing=1, failed=1)

    moving.begin_move("recorder")
    filling.fill_batch()

    assert len(model.batches) == queue.MOST_ATTEMPTS + 1


def test_each_failure_is_waited_out_longer(model: Recorder, note: Remember, alice: Person) -> None:
    note("refused", owner=Owner.of_user(alice.user))
    waits = []
    for _ in range(3):
        filling.fill_batch()
        [wait] = Embedding.objects.annotate(wait=F("available_at") - TransactionNow()).values_list("wait", flat=True)
        waits.append(round(wait.total_seconds()))
        assert filling.fill_batch() == 0
        let_time_pass()

    assert waits == [2, 4, 8]


def test_searches_go_on_by_words_while_the_model_is_away_and_do_not_wait_for_it_each_time(
    model: Recorder, note: Remember, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    note("Alice likes tea", owner=Owner.of_user(alice.user))
    filling.fill_batch()
    model.is_away = True
    model.batches.clear()

    assert found(alice.scope, "tea") == ["Alice likes tea"]
    assert found(alice.scope, "likes") == ["Alice likes tea"]
    assert model.asked == ["tea"]

    model.is_away = False
    monkeypatch.setattr(queries, "_rests_until", {"recorder": 0.0})
    [hit] = search.search(alice.scope, "tea", explain=True).hits
    assert hit.explanation is not None
    assert hit.explanation.similarity is not None


def test_a_vector_of_another_dimension_is_refused_and_says_what_to_do(
    model: Recorder, note: Remember, alice: Person
) -> None:
    note("the first settles it", owner=Owner.of_user(alice.user))
    filling.fill_batch()
    model.dimensions = 7

    note("the second disagrees", owner=Owner.of_user(alice.user))
    filling.fill_batch()

    [left] = Embedding.objects.filter(vector__isnull=True)
    assert "7 dimensions where this organisation's have 4" in left.error
    assert "reembed" in left.error
    assert len(found(alice.scope, "second")) == 2


@pytest.mark.parametrize("values", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_without_a_direction_is_refused(values: list[float]) -> None:
    with pytest.raises(EmbeddingError):
        ports.unit(np.array(values, dtype=np.float32))


def test_the_old_model_serves_until_the_new_one_has_every_vector(
    model: Recorder, note: Remember, alice: Person
) -> None:
    ports.provide("better", better := Recorder(dimensions=6))
    for number in range(20):
        note(f"note {number}", owner=Owner.of_user(alice.user))
    while filling.fill_batch():
        pass

    call_command("reembed", org=alice.org.slug, model="better", stdout=StringIO())
    note("written meanwhile", owner=Owner.of_user(alice.user))
    filling.fill_batch()
    serving_meanwhile = serving_model().name
    [hit] = search.search(alice.scope, "note 3", limit=1, explain=True).hits
    while filling.fill_batch():
        pass

    assert serving_meanwhile == "recorder"
    assert hit.explanation is not None
    assert hit.explanation.similarity is not None
    assert list(EmbeddingModel.objects.values_list("name", "state", "dimensions")) == [("better", "serving", 6)]
    assert Embedding.objects.filter(vector__isnull=False).count() == Passage.objects.count() == 21
    assert set(better.asked) - {"test"} == set(Passage.objects.values_list("text", flat=True))


def test_a_model_that_can_not_be_had_is_not_moved_to(model: Recorder, alice: Person) -> None:
    ports.provide("broken", broken := Recorder())
    broken.is_away = True

    with pytest.raises(CommandError, match="nobody answers"):
        call_command("reembed", org=alice.org.slug, model="broken")

    assert serving_model().name == "recorder"
    assert EmbeddingModel.objects.count() == 1


@pytest.fixture(scope="module")
def peer() -> Iterator[EmbeddingPeer]:
    with embedding_peer() as peer:
        yield peer


@pytest.fixture
def provider(peer: EmbeddingPeer, in_acme: None, monkeypatch: pytest.MonkeyPatch) -> EmbeddingPeer:
    """A provider, reached by HTTP, that serves Alice's organisation."""
    memory = replace(settings.CONFIG.memory, base_url=f"{peer.url}/v1", api_key="sk-canary-of-tests")
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, memory=memory))
    EmbeddingModel.objects.all().delete()
    EmbeddingModel.objects.create(name=PROVIDER, state=EmbeddingModel.State.SERVING)
    return peer


def test_any_model_that_litellm_knows_can_be_used(provider: EmbeddingPeer, note: Remember, alice: Person) -> None:
    note("Alice likes tea", owner=Owner.of_user(alice.user))

    filling.fill_batch()
    [hit] = search.search(alice.scope, "tea", explain=True).hits

    assert [request["input"] for request in provider.asked] == [["Alice likes tea"], ["tea"]]
    assert serving_model().dimensions == 3
    assert hit.explanation is not None
    assert hit.explanation.similarity == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("answer", [lambda texts: 500, lambda texts: 401, lambda texts: [], lambda texts: [[0.0] * 3]])
def test_a_provider_that_refuses_or_lies_costs_the_vectors_alone(
    answer: Callable[[Sequence[str]], list[list[float]] | int],
    provider: EmbeddingPeer,
    note: Remember,
    alice: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider, "answer", answer)
    note("Alice likes tea", owner=Owner.of_user(alice.user))

    assert filling.fill_batch() == 0

    [left] = Embedding.objects.all()
    assert left.error
    assert "sk-canary-of-tests" not in left.error
    assert found(alice.scope, "tea") == ["Alice likes tea"]


@pytest.fixture
def elsewhere(committed: Cast) -> Organization:
    """An organisation whose rows are committed."""
    return create_organization(f"vectors-{uuid.uuid4().hex[:8]}")


def test_an_embedder_that_is_killed_at_work_loses_nothing(elsewhere: Organization, tmp_path: Path) -> None:
    with org_scope(elsewhere):
        EmbeddingModel.objects.create(name="held", state=EmbeddingModel.State.SERVING)
        for number in range(5):
            remember(owner=Owner(board="b"), tier="core", text=f"note {number}", origin=Origin())
    sign = tmp_path / "asked"
    embedder = subprocess.Popen([sys.executable, "manage.py", "embedder"], cwd=ROOT, env=_told(sign))
    try:
        wait_until(sign.exists, within=90, what="the embedder's call of its model")
    finally:
        embedder.kill()
        embedder.wait()
    ports.provide("held", Recorder())

    with org_scope(elsewhere):
        at_once, lost = filling.fill_batch(), missing()
        let_time_pass()
        later = filling.fill_batch()

        assert (at_once, lost, later) == (0, 5, 5)
        assert missing() == 0


def _told(sign: Path) -> dict[str, str]:
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    told = {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "tests.memory.settings", "HELD_SIGN": str(sign)}
    return os.environ | told
