"""Secrets are sealed in the database by a key outside of it, come out for one call only, and can move to a new key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection

from openintern import redaction, secret_store
from openintern.secret_store import Secret, Unreadable
from openintern.tenancy.scope import org_scope
from runs.models import McpServer
from tests.conftest import Person

TEXT = "canary-token-8ad1f3"


@pytest.fixture(autouse=True)
def keys() -> Iterator[None]:
    secret_store.forget_keys()
    yield
    secret_store.forget_keys()


def stored(server: McpServer) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM runs_mcpserver t WHERE id = %s", [server.pk])
        return str(cursor.fetchone()[0])


def a_server(alice: Person) -> McpServer:
    server = McpServer(name="sealed", transport="http", url="https://example.org/mcp", auth="bearer", secret=TEXT)
    server.save()
    return McpServer.objects.get(pk=server.pk)


def test_a_secret_is_sealed_and_shows_itself_to_nobody(alice: Person) -> None:
    with org_scope(alice.org):
        server = a_server(alice)

        assert server.secret.reveal() == TEXT
        assert TEXT not in stored(server)
        assert TEXT not in f"{server.secret} {server.secret!r} {vars(server)}"
        assert redaction.redact_text(f"it said {TEXT}") == f"it said {redaction.MARK}"


def test_a_new_key_takes_over_and_the_old_one_can_go(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    with org_scope(alice.org):
        monkeypatch.setenv("OPENINTERN_SECRET_KEYS", old)
        secret_store.forget_keys()
        server = a_server(alice)
    monkeypatch.setenv("OPENINTERN_SECRET_KEYS", f"{new}, {old}")
    secret_store.forget_keys()

    call_command("rotate_secrets", verbosity=0)

    monkeypatch.setenv("OPENINTERN_SECRET_KEYS", new)
    secret_store.forget_keys()
    with org_scope(alice.org):
        assert McpServer.objects.get(pk=server.pk).secret.reveal() == TEXT
    monkeypatch.setenv("OPENINTERN_SECRET_KEYS", old)
    secret_store.forget_keys()
    with org_scope(alice.org), pytest.raises(Unreadable):
        McpServer.objects.get(pk=server.pk).secret.reveal()


def test_no_secret_is_none() -> None:
    assert not Secret.seal("")
    assert (str(Secret()), Secret().reveal()) == ("", "")
