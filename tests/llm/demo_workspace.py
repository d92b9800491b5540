"""The file tools over a real folder, answering in the shapes of `runs.tools`, and a run loop around a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import re2

from runs.llm.demo import DemoModel
from runs.llm.types import Answer, ModelSpec, Request, ToolCall

PARAMETERS: dict[str, dict[str, Any]] = {
    "list_files": {"path": {"type": "string"}},
    "glob_files": {"pattern": {"type": "string"}, "cwd": {"type": "string"}},
    "grep_files": {
        "pattern": {"type": "string"},
        "path": {"type": "string"},
        "include": {"type": "string"},
        "max_results": {"type": "integer", "maximum": 500},
        "ignore_case": {"type": "boolean"},
        "fixed": {"type": "boolean"},
    },
    "read_file": {"path": {"type": "string"}, "start_line": {"type": "integer"}, "end_line": {"type": "integer"}},
    "write_file": {"path": {"type": "string"}, "content": {"type": "string"}},
    "edit_file": {"path": {"type": "string"}, "old_text": {"type": "string"}, "new_text": {"type": "string"}},
}
SPEC = ModelSpec("demo", "demo")


@dataclass
class Conversation:
    """A folder, and what was said about it."""

    root: Path
    offered: tuple[str, ...] = tuple(PARAMETERS)
    messages: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def ask(self, text: str) -> str:
        """Ask, carry out what the model wants until it is done, and return its answer."""
        self.messages.append({"role": "user", "content": text})
        self.answers = []
        while not self.answers or self.answers[-1].tool_calls:
            self.answers.append(self.step())
            for call in self.answers[-1].tool_calls:
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": self.carry_out(call)})
        return self.answers[-1].text

    def step(self) -> Answer:
        *fragments, answer = DemoModel(pace=0).stream(Request(SPEC, self.messages, self.tools))
        assert isinstance(answer, Answer)
        assert "".join(map(str, fragments)) == answer.text
        self.messages.append({"role": "assistant", "content": answer.text, "tool_calls": wire(answer.tool_calls)})
        if not answer.tool_calls:
            del self.messages[-1]["tool_calls"]
        return answer

    @property
    def tools(self) -> list[dict[str, Any]]:
        return [
            {"type": "function", "function": {"name": name, "parameters": {"properties": PARAMETERS[name]}}}
            for name in self.offered
        ]

    @property
    def calls(self) -> list[ToolCall]:
        return [call for answer in self.answers for call in answer.tool_calls]

    def carry_out(self, call: ToolCall) -> str:
        tool: Callable[..., dict[str, Any]] = getattr(self, f"_{call.name}")
        assert call.name in self.offered
        assert call.arguments is not None and call.arguments.keys() <= PARAMETERS[call.name].keys()
        try:
            return json.dumps(tool(**call.arguments), ensure_ascii=False)
        except (OSError, ValueError) as error:
            return f"Error: {error}"

    def _paths(self, under: str = ".") -> list[str]:
        found = (path.relative_to(self.root) for path in (self.root / under).rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found)

    def _list_files(self, path: str = ".") -> dict[str, Any]:
        entries = [
            {"name": p.name, "type": "directory" if p.is_dir() else "file", "size": p.stat().st_size}
            for p in sorted((self.root / path).iterdir())
        ]
        return {"path": path, "entries": entries, "truncated": False}

    def _glob_files(self, pattern: str, cwd: str = ".") -> dict[str, Any]:
        if not (self.root / cwd).is_dir():
            raise ValueError("no such folder")
        found = (path.relative_to(self.root) for path in (self.root / cwd).glob(pattern) if path.is_file())
        return {"files": sorted(path.as_posix() for path in found), "truncated": False}

    def _grep_files(
        self,
        pattern: str,
        path: str = ".",
        include: str = "",
        max_results: int = 50,
        ignore_case: bool = True,
        fixed: bool = False,
    ) -> dict[str, Any]:
        options = re2.Options()
        options.case_sensitive = not ignore_case
        options.log_errors = False
        try:
            wanted = re2.compile(re2.escape(pattern) if fixed else pattern, options)
        except re2.error as error:
            raise ValueError(f"bad pattern: {error}") from error
        paths = [p for p in self._paths(path) if not include or PurePosixPath(p).match(include)]
        found = [
            {"path": name, "line": number, "text": line[:500]}
            for name in paths
            for number, line in enumerate(self._lines(name), start=1)
            if wanted.search(line)
        ]
        return {
            "matches": found[:max_results],
            "total": len(found),
            "files_with_matches": len({match["path"] for match in found}),
            "files_searched": len(paths),
            "truncated": len(found) > max_results,
        }

    def _lines(self, path: str) -> list[str]:
        return (self.root / path).read_text("utf-8", "replace").splitlines()

    def _read_file(self, path: str, start_line: int = 1, end_line: int | None = None) -> dict[str, Any]:
        lines = (self.root / path).read_text("utf-8", "replace").splitlines(keepends=True)
        shown = lines[start_line - 1 : end_line]
        return {
            "path": path,
            "content": "".join(shown),
            "start_line": start_line,
            "end_line": start_line + len(shown) - 1,
            "total_lines": len(lines),
            "truncated": False,
            "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
        }

    def _write_file(self, path: str, content: str) -> dict[str, Any]:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return {"path": path, "bytes": len(content.encode())}

    def _edit_file(self, path: str, old_text: str, new_text: str) -> dict[str, Any]:
        target = self.root / path
        content = target.read_text()
        if content.count(old_text) != 1:
            raise ValueError("old_text must stand in the file exactly once")
        target.write_text(content.replace(old_text, new_text))
        return {"path": path}


def wire(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    return [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.raw}} for c in calls]
