"""The OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from tests.conftest import Person
from tests.resolver import endpoints

ABOUT_THE_API = {"/api/schema/", "/api/docs/"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    import yaml

    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    return yaml.safe_load(out.getvalue())


def test_it_names_every_endpoint_with_every_method(document: dict[str, Any]) -> None:
    there = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", str(each)), method.lower())
        for each in endpoints()
        if str(each).startswith("/api/") and str(each) not in ABOUT_THE_API
        for method in each.declared.actions
    }

    described = {
        (path, method)
        for path, operations in document["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert described == there


def test_every_operation_says_how_to_identify_oneself_and_how_it_refuses(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert all(operation["security"] == [{"ApiKey": []}, {"Session": []}] for operation in operations)
    assert all("default" in operation["responses"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation.get("description") for operation in operations)


def test_it_is_served_to_those_who_may_use_the_api(alice: Person, db: None) -> None:
    assert Client().get("/api/schema/").status_code == 401
    answer = alice.with_key().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.json()["info"]["title"] == "OpenIntern"


def test_the_instance_in_production_passes_the_frameworks_own_checks() -> None:
    """In a process of its own, because the answers of the settings depend on the environment."""
    import os
    import subprocess
    import sys

    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**os.environ, "OPENINTERN_TLS": "on"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
