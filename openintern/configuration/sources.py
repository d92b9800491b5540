"""Where values come from: the environment counts before the file, and both before the default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from openintern.configuration import parsing

T = TypeVar("T")


class Sources:
    """The file and the environment, asked for one value at a time."""

    def __init__(self, *, environ: Mapping[str, str], path: Path) -> None:
        self.environ = environ
        self.path = path
        self.problems: list[str] = []
        self.file = self._read_file()

    def _read_file(self) -> dict[str, Any]:
        try:
            text = self.path.read_text(encoding="utf-8")
            content = json.loads(text) if text.strip() else {}
        except FileNotFoundError:
            if self.environ.get("OPENINTERN_CONFIG"):
                self.problems.append(f"{self.path} does not exist; defaults are used")
            return {}
        except (OSError, ValueError, RecursionError) as error:
            self.problems.append(f"{self.path} can't be read ({error}); defaults are used")
            return {}
        if isinstance(content, dict):
            return content
        self.problems.append(f"{self.path} must hold a JSON object; defaults are used")
        return {}

    def get(self, key: str, variable: str, parse: Callable[[object], T], default: T) -> T:
        """Return the first usable value of `variable`, then of `key` ("llm.model"), else the default."""
        named = ((variable, self.environ.get(variable) or None), (key, self.in_file(key)))
        for name, value in named:
            if value is None:
                continue
            try:
                return parse(value)
            except (TypeError, ValueError, InvalidOperation):
                self.problems.append(f"{name} is not {parse.__doc__}; it is ignored")
        return default

    def in_file(self, key: str) -> object:
        section, _, name = key.partition(".")
        content = self.file.get(section)
        if content is None:
            return None
        if not isinstance(content, dict):
            problem = f"{section} in {self.path} must be an object; it is ignored"
            if problem not in self.problems:
                self.problems.append(problem)
            return None
        return content.get(name)

    def directory(self, key: str, variable: str, default: Path) -> Path:
        """Return an absolute path: the environment's from here, the file's from where the file is."""
        if self.environ.get(variable):
            return Path(self.environ[variable]).expanduser().absolute()
        written = self.get(key, "", parsing.text, "")
        return self.path.parent / Path(written).expanduser() if written else default.absolute()
