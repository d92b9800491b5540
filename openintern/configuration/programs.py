"""The programs that organisations may use as MCP servers, as the operator wrote them down."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from openintern.configuration.parsing import text, texts, truth
from openintern.configuration.values import Program


def catalogue(value: object) -> dict[str, Program]:
    """a catalogue of MCP servers (see docs/operations.md)"""
    if not isinstance(value, dict):
        raise TypeError
    return {_named(name): _program(told) for name, told in value.items()}


def _named(value: object) -> str:
    name = text(value)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        raise ValueError
    return name


def _program(told: object) -> Program:
    if not isinstance(told, dict) or set(told) - {each.name for each in fields(Program)}:
        raise TypeError
    command, parameters = told.get("command"), told.get("parameters", {})
    environment = told.get("environment", {})
    if not isinstance(command, list) or not command or not Path(text(command[0])).is_absolute():
        raise ValueError
    if not isinstance(parameters, dict) or not isinstance(environment, dict):
        raise TypeError
    for pattern in parameters.values():
        re.compile(text(pattern))
    return Program(
        command=tuple(text(word) for word in command),
        parameters={text(name): text(pattern) for name, pattern in parameters.items()},
        environment={text(name): text(word) for name, word in environment.items()},
        readable=texts(told.get("readable", [])),
        writable=texts(told.get("writable", [])),
        network=truth(told.get("network", False)),
        confined=truth(told.get("confined", True)),
    )
