"""A workspace on disk, and an agent's way to call tools on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings

from runs.stop import Stop
from runs.tools import beneath, results
from runs.tools.registry import ToolContext, tools
from runs.tools.workspace import Limits, Workspace
from tests.peers.site import allow, serve  # noqa: F401  fixtures

# how long an example takes depends on who else uses the machine
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

CANARY = "canary: this lies outside"


class Agent:
    """Calls tools as the engine does, and remembers what it has seen as the engine does."""

    def __init__(self, workspace: Workspace, *, scope: Any = None) -> None:
        self.workspace = workspace
        self.seen: dict[str, str] = {}
        self.stop = Stop()
        self.scope = scope

    @property
    def context(self) -> ToolContext:
        return ToolContext(
            scope=self.scope,
            run_id="run",
            tool_call_id="call",
            idempotency_key="key",
            workspace=self.workspace,
            stop=self.stop,
            seen=self.seen,
        )

    def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        result = tools()[name].call(self.context, arguments)
        self.seen |= results.digests(result)
        return result

    def landed(self, name: str, /, **arguments: Any) -> dict[str, Any] | None:
        return tools()[name].check_landed(self.context, arguments)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a workspace, with a secret lying next to it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(CANARY)
    (tmp_path / "orgA2").mkdir()
    (tmp_path / "orgA2" / "secret.txt").write_text(CANARY)
    root = tmp_path / "orgA"
    root.mkdir()
    return root


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def open_at(root: Path, **limits: int) -> Workspace:
    return Workspace(os.open(root, os.O_RDONLY | os.O_DIRECTORY), path=root, limits=Limits(**limits))


@pytest.fixture
def workspace(root: Path) -> Iterator[Workspace]:
    with open_at(root) as workspace:
        yield workspace


@pytest.fixture
def agent(workspace: Workspace) -> Agent:
    return Agent(workspace)


@pytest.fixture
def write(root: Path) -> Callable[[str, str | bytes], Path]:
    """Put a file into the workspace behind the agent's back."""

    def write(path: str, content: str | bytes = "") -> Path:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write


@pytest.fixture(params=["by the kernel", "step by step"])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Look paths up both ways that there are."""
    if request.param == "by the kernel" and not beneath._kernel_resolves():
        pytest.skip("this kernel has no openat2")
    monkeypatch.setattr(beneath, "_kernel_resolves", lambda: request.param == "by the kernel")
    return str(request.param)


@pytest.fixture
def use_work_dir(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Keep workspaces in a folder of the test's own, and the server's data in the one it lies in."""

    def use(path: Path) -> Path:
        config = settings.CONFIG
        server, agent = replace(config.server, base_dir=path.parent), replace(config.agent, work_dir=path)
        monkeypatch.setattr(settings, "CONFIG", replace(config, server=server, agent=agent))
        return path

    return use
