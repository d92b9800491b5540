"""The suites that can be run, each in the app that it measures."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from django.utils.module_loading import autodiscover_modules

from openintern.bench.figures import Figure
from openintern.tenancy.scope import Scope


@dataclass(frozen=True)
class Options:
    """What a suite is given: in whose name it works, whether it is in a hurry, and its own arguments."""

    scope: Scope
    quick: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


Measure = Callable[[Options], Iterator[Figure]]
AddArguments = Callable[[ArgumentParser], None]


@dataclass(frozen=True)
class Suite:
    """A set of figures under one name; `environ` is set for the process in which they are taken."""

    name: str
    measure: Measure
    add_arguments: AddArguments | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


_suites: dict[str, Suite] = {}


def suite(
    name: str, *, add_arguments: AddArguments | None = None, environ: Mapping[str, str] | None = None
) -> Callable[[Measure], Measure]:
    """Register a function as the suite of that name."""

    def register(measure: Measure) -> Measure:
        _suites[name] = Suite(name, measure, add_arguments, environ or {})
        return measure

    return register


def suites() -> Mapping[str, Suite]:
    """Return all suites by name."""
    autodiscover_modules("bench")
    return MappingProxyType(_suites)
