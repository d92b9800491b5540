"""A conversation with the demo model about a folder: the run loop around it, and the real file tools beneath."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runs.llm.demo import DemoModel
from runs.llm.types import Answer, ModelSpec, Request, ToolCall
from runs.stop import Stop
from runs.tools.registry import ToolContext, ToolError, tools
from runs.tools.workspace import Workspace

FILE_TOOLS = ("list_files", "glob_files", "grep_files", "read_file", "write_file", "edit_file")
SPEC = ModelSpec("demo", "demo")
MOST_STEPS = 6


@dataclass
class Conversation:
    """What was said about the files in `root`, and how each answer came about."""

    root: Path
    offered: tuple[str, ...] = FILE_TOOLS
    messages: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    def ask(self, text: str) -> str:
        """Say `text`, carry out the calls that the model makes until it answers, and return that answer."""
        self.messages.append({"role": "user", "content": text})
        self.answers, self.seen = [], {}
        while not self.answers or self.answers[-1].tool_calls:
            assert len(self.answers) < MOST_STEPS, f"{text!r} goes on and on"
            self.answers.append(self._step())
            for call in self.answers[-1].tool_calls:
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": self._carry_out(call)})
        return self.answers[-1].text

    @property
    def calls(self) -> list[ToolCall]:
        return [call for answer in self.answers for call in answer.tool_calls]

    @property
    def tools(self) -> list[dict[str, Any]]:
        return [tools()[name].definition() for name in self.offered]

    def _step(self) -> Answer:
        *fragments, answer = DemoModel(pace=0).stream(Request(SPEC, self.messages, self.tools))
        assert isinstance(answer, Answer)
        assert "".join(map(str, fragments)) == answer.text
        turn: dict[str, Any] = {"role": "assistant", "content": answer.text}
        self.messages.append(turn | ({"tool_calls": _wire(answer.tool_calls)} if answer.tool_calls else {}))
        return answer

    def _carry_out(self, call: ToolCall) -> str:
        assert call.name in self.offered
        assert call.arguments is not None
        try:
            result = self._call(call.name, call.arguments)
        except ToolError as error:
            if "Invalid tool arguments" in str(error):
                raise
            return f"Error: {error}"
        if "path" in result and "sha256" in result:
            self.seen[result["path"]] = result["sha256"]
        return json.dumps(result, ensure_ascii=False)

    def _call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        scope: Any = None  # no file tool asks who is calling
        with Workspace(os.open(self.root, os.O_RDONLY | os.O_DIRECTORY), path=self.root) as workspace:
            context = ToolContext(
                scope=scope,
                run_id="run",
                tool_call_id="call",
                idempotency_key="key",
                workspace=workspace,
                stop=Stop(),
                seen=self.seen,
            )
            return tools()[name].call(context, arguments)


def _wire(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    return [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.raw}} for c in calls]
