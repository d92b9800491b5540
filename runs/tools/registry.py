"""Tools: typed functions that an agent may call, and the table of all that are known.

    @tool(risk="low", recovery="pure")
    def count_words(context: ToolContext, text: Annotated[str, "The text to count in"]) -> dict[str, Any]:
        \"\"\"Count the words of a text. (This is what the model reads.)\"\"\"
        return {"words": len(text.split())}

Put it into a module `tools` of any installed app, and agents are offered it.

A tool whose answer takes longer than a worker should be held for is declared `answers_later=True` and may return
`Later` in its place: the run then waits and holds no worker. Whoever has the answer brings it (`runs.delivery.deliver`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from runs.events import Draft
from runs.stop import Stop
from runs.tools import results
from runs.tools.arguments import arguments_model, complaint, describe, unacceptable

if TYPE_CHECKING:
    from openintern.tenancy.scope import Scope
    from runs.tools.workspace import Workspace

Risk = Literal["low", "medium", "high"]

#: What is known about a call that a crash cut off. "pure": it changes nothing, so it may run again. "keyed": the outside
#: recognises the idempotency key and does it once. "checkable": `check` can find out. "unsure": only a person can say.
Recovery = Literal["pure", "keyed", "checkable", "unsure"]

#: What a call could do that nobody can take back. "sends": something leaves the organisation (a query and an address
#: say something too). "deletes": something is gone afterwards.
Hazard = Literal["none", "sends", "deletes"]

#: For whom it is: for every agent, for the members of a team, or for their lead alone.
Seat = Literal["", "member", "lead"]


@dataclass(frozen=True, kw_only=True)
class Later:
    """What a tool returns whose answer somebody will bring.

    `kind` is what the run waits for, as its log names it (`delegated_run`, `external_job`), `reference` which one: whoever
    delivers has to name the same. After `within` nobody is waited for any more, and the model hears of an error.
    """

    kind: str
    reference: str
    within: timedelta
    message: str  # for people: what the run waits for

    def __post_init__(self) -> None:
        if not self.reference or len(self.kind) > 40 or len(self.reference) > 200:
            raise ValueError(f"{self.kind} {self.reference!r}: a reference is needed, of at most 200 characters")
        if not timedelta() < self.within <= LONGEST_WAIT:
            raise ValueError(f"{self.kind} {self.reference}: nothing is waited for longer than {LONGEST_WAIT}")


Answer = dict[str, Any] | Later
Function = TypeVar("Function", bound=Callable[..., Answer])

#: The longest that a run waits for what a tool has promised.
LONGEST_WAIT: Final = timedelta(days=30)
_LEGAL_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")


class ToolError(Exception):
    """A refusal or a failure that the model should read, and can often mend by calling differently."""


class ToolBlocked(ToolError):
    """A call that may not be made, as it turned out when it was made: nothing happened."""


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """All that a tool may know of the world.

    `seen` maps a path to the SHA-256 of what this run last read from it or wrote to it; the engine keeps it
    from results (`results.digests`). Tools only look. `skills` are those the run was given, each with its version;
    `is_tainted` says that text from outside is in the run's context. `agent_id` is who calls, in the team `group_id`, if any.
    `news` are events that a tool wants written with its result, in the same transaction and once, whatever crashes: one
    that is called again after a crash has to say them again. Of a call that fails none is written.
    """

    scope: Scope
    run_id: str
    tool_call_id: str
    idempotency_key: str
    workspace: Workspace
    stop: Stop
    seen: Mapping[str, str] = field(default_factory=dict)
    skills: Mapping[str, int] = field(default_factory=dict)
    is_tainted: bool = False
    agent_id: str = ""
    group_id: str = ""
    news: list[Draft] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function that agents may call, with what the engine and the policy have to know about it.

    `taints`: what it returns, errors included, may hold text that people outside the organisation wrote. True unless it
    is declared otherwise. `answers_later`: it may return `Later`.
    """

    name: str
    description: str
    function: Callable[..., Answer]
    arguments: type[BaseModel]
    risk: Risk = "low"
    mutating: bool = False
    recovery: Recovery = "unsure"
    timeout: float = 30.0
    check: Callable[..., Answer | None] | None = None
    hazard: Hazard = "sends"
    taints: bool = True
    answers_later: bool = False
    from_outside: bool = False  # what it returns was written by nobody we know: web pages, foreign servers
    seat: Seat = ""  # for whom it is
    blocked: str = ""  # why it may not be called for the time being, by anybody

    def __post_init__(self) -> None:
        if not _LEGAL_NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r}: providers accept letters, digits, '_' and '-' in a tool's name, 64 at most"
            )
        if not self.description:
            raise ValueError(f"{self.name}: a tool needs a docstring; it is what the model reads")
        for value, known in ((self.risk, Risk), (self.recovery, Recovery), (self.hazard, Hazard), (self.seat, Seat)):
            if value not in get_args(known):
                raise ValueError(
                    f"{self.name}: unknown risk, recovery, hazard or seat {value!r}, which is none of {', '.join(get_args(known))}"
                )
        if (self.check is not None) != (self.recovery == "checkable"):
            raise ValueError(f"{self.name}: `check` and recovery 'checkable' belong together")
        if self.mutating and self.recovery == "pure":
            raise ValueError(f"{self.name}: what changes something is not pure")

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return describe(self.arguments)

    def definition(self) -> dict[str, Any]:
        """Return the tool as providers want it described."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.parameters},
        }

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, defaults filled in, ready to be passed by name. Raises ToolError; changes nothing."""
        if problem := unacceptable(dict(arguments)):
            raise ToolError(f"Invalid tool arguments: {problem}")
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            raise ToolError(f"Invalid tool arguments: {complaint(error)}") from error
        return {name: getattr(checked, name) for name in self.arguments.model_fields}

    def call(self, context: ToolContext, arguments: Mapping[str, Any]) -> Answer:
        """Check the arguments, run the tool, and return its result as bounded JSON, or that it comes later.

        Raises ToolError for the model to read, Stopped when the run is over; whatever else rises is a bug.
        """
        context.stop.check()
        return self._told(self.function(context, **self.validate(arguments)))

    def check_landed(self, context: ToolContext, arguments: Mapping[str, Any]) -> Answer | None:
        """Return the answer of a call that a crash cut off, if it took effect, else None. Changes nothing.

        Only for tools whose recovery is "checkable".
        """
        if self.check is None:
            raise TypeError(f"{self.name} can't tell whether a call took effect")
        try:
            landed = self.check(context, **self.validate(arguments))
        except ToolError:
            return None  # a call that is refused now was refused then
        return None if landed is None else self._told(landed)

    def _told(self, answer: Answer) -> Answer:
        if not isinstance(answer, Later):
            return results.bounded(answer)
        if not self.answers_later:
            raise TypeError(f"{self.name} isn't declared to answer later")
        return answer


_registered: dict[str, Tool] = {}
_sources: list[tuple[str, Callable[[], Iterable[Tool]]]] = []


class _All(Mapping[str, Tool]):
    """The registered tools, and those of the sources, which are asked only for names that could be theirs."""

    def __getitem__(self, name: str) -> Tool:
        if name in _registered:
            return _registered[name]
        theirs = (tool for prefix, source in _sources if name.startswith(prefix) for tool in source())
        found = next((tool for tool in theirs if tool.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def values(self) -> ValuesView[Tool]:
        return self._whole().values()

    def items(self) -> ItemsView[str, Tool]:
        return self._whole().items()

    def _whole(self) -> dict[str, Tool]:
        whole = dict(_registered)
        for _, source in _sources:
            for tool in source():
                whole.setdefault(tool.name, tool)
        return whole


def tools() -> Mapping[str, Tool]:
    """Return every tool known to the current organisation by name: the registered ones in their order, then its own."""
    return _All()


def add_source(prefix: str, source: Callable[[], Iterable[Tool]]) -> None:
    """Have tools come from somewhere else too: `source` gives those of the current organisation, whose names begin so."""
    _sources.append((prefix, source))


def register(new: Tool) -> None:
    """Make a tool known. Raises ValueError if the name is taken: no tool may put itself in another's place."""
    if new.name in _registered:
        raise ValueError(f"There is a tool '{new.name}' already")
    _registered[new.name] = new


def build(function: Callable[..., Answer], **declared: Any) -> Tool:
    """Return a tool made of a function's name, docstring and signature, without registering it."""
    name = getattr(function, "__name__", "")
    return Tool(
        name=name,
        description=inspect.getdoc(function) or "",
        function=function,
        arguments=arguments_model(function),
        **declared,
    )


def tool(  # noqa: PLR0913  all that a tool declares
    *,
    risk: Risk,
    mutating: bool = False,
    recovery: Recovery = "unsure",
    timeout: float = 30.0,
    check: Callable[..., Answer | None] | None = None,
    hazard: Hazard = "sends",
    taints: bool = True,
    answers_later: bool = False,
    from_outside: bool = False,
    seat: Seat = "",
) -> Callable[[Function], Function]:
    """Register the decorated function as a tool; the function itself stays as it is.

    `check(context, **arguments)` answers, after a crash, the result of the call if it took effect, else None.
    Whatever isn't declared harmless is held for what asks most: it sends, and brings in text from outside.
    """
    declared = {
        "risk": risk,
        "mutating": mutating,
        "recovery": recovery,
        "timeout": timeout,
        "check": check,
        "hazard": hazard,
        "taints": taints,
        "answers_later": answers_later,
        "from_outside": from_outside,
        "seat": seat,
    }

    def decorate(function: Function) -> Function:
        register(build(function, **declared))
        return function

    return decorate
