"""What the operator chose: `agent.config.json` < environment < command line.

The command line reaches this package through the environment (`up --port` sets `PORT`), so
there is one precedence and one place that knows it. A value of the wrong type, or a file that
can't be read, is reported and the next source counts; it never stops the program.
This package is plain Python: settings are built from it.

- `values`: what there is to choose, with the defaults.
- `sources`: the environment and the file; `parsing`: what a value must look like.
- `llm`: which model answers; `programs`: the catalogue of MCP servers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openintern.configuration import llm, parsing
from openintern.configuration.llm import DEFAULT_MODELS, KEY_VARIABLES, OWN_BASE_URLS
from openintern.configuration.programs import catalogue
from openintern.configuration.sources import Sources
from openintern.configuration.values import LLM, Agent, Configuration, Mcp, Memory, Mineru, Program, Server

__all__ = [
    "DEFAULT_MODELS",
    "FILE_NAME",
    "KEY_VARIABLES",
    "LLM",
    "OWN_BASE_URLS",
    "TOLD",
    "Agent",
    "Configuration",
    "Mcp",
    "Memory",
    "Mineru",
    "Program",
    "Server",
    "config_path",
    "load",
    "template",
]

logger = logging.getLogger(__name__)

FILE_NAME = "agent.config.json"
#: Set by `up` for its children: what can't be used was told once already.
TOLD = "OPENINTERN_CONFIGURATION_TOLD"


def load(environ: Mapping[str, str] | None = None) -> Configuration:
    """Read the file and the environment. Warns of what it can't use; never raises for it."""
    environ = os.environ if environ is None else environ
    path = config_path(environ)
    sources = Sources(environ=environ, path=path)
    server = _server(sources)
    configuration = Configuration(
        llm=llm.read(sources),
        server=server,
        agent=_agent(sources, base_dir=server.base_dir),
        memory=_memory(sources),
        mcp=Mcp(catalogue=sources.get("mcp.catalogue", "", catalogue, {})),
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


def _server(sources: Sources) -> Server:
    return Server(
        port=sources.get("server.port", "PORT", parsing.port, Server.port),
        base_dir=sources.directory("server.baseDir", "DATA_DIR", Server.base_dir),
        database_url=sources.get("server.databaseUrl", "DATABASE_URL", parsing.text, ""),
        configured_secret_key=sources.get("server.secretKey", "SECRET_KEY", parsing.text, ""),
        cors_origins=sources.get("server.corsOrigins", "CORS_ORIGINS", parsing.texts, ()),
        outgoing_allow=sources.get("server.outgoingAllow", "OUTGOING_ALLOW", parsing.texts, ()),
        public_url=sources.get("server.publicUrl", "PUBLIC_URL", parsing.url, ""),
        allowed_hosts=sources.get("server.allowedHosts", "ALLOWED_HOSTS", parsing.texts, Server.allowed_hosts),
    )


def _agent(sources: Sources, *, base_dir: Path) -> Agent:
    return Agent(
        max_steps=sources.get("agent.maxSteps", "AGENT_MAX_STEPS", parsing.from_zero, Agent.max_steps),
        timeout_ms=sources.get("agent.timeout", "AGENT_TIMEOUT_MS", parsing.count, Agent.timeout_ms),
        work_dir=sources.directory("agent.workDir", "WORK_DIR", base_dir / "workspaces"),
        max_tokens_per_run=sources.get(
            "agent.maxTokensPerRun", "MAX_TOKENS_PER_RUN", parsing.count, Agent.max_tokens_per_run
        ),
        context_tokens=sources.get("agent.contextTokens", "AGENT_CONTEXT_TOKENS", parsing.count, Agent.context_tokens),
        max_cost_per_run=sources.get("agent.maxCostPerRun", "MAX_COST_PER_RUN", parsing.amount, None),
        model_limits=sources.get("agent.modelLimits", "MODEL_LIMITS", parsing.limits, {}),
        exec_command=sources.get("agent.execCommand", "OPENINTERN_EXEC_COMMAND", parsing.truth, False),
        approval_hours=sources.get("agent.approvalHours", "APPROVAL_HOURS", parsing.count, Agent.approval_hours),
    )


def _memory(sources: Sources) -> Memory:
    return Memory(
        embedding_model=sources.get("memory.embeddingModel", "EMBEDDING_MODEL", parsing.text, Memory.embedding_model),
        api_key=sources.get("memory.embeddingApiKey", "EMBEDDING_API_KEY", parsing.text, ""),
        base_url=sources.get("memory.embeddingBaseUrl", "EMBEDDING_BASE_URL", parsing.url, ""),
        refuses_secrets=sources.get("memory.refuseSecrets", "MEMORY_REFUSE_SECRETS", parsing.truth, False),
        recalled=sources.get("memory.recalled", "MEMORY_RECALLED", parsing.from_zero, Memory.recalled),
        remembers_runs=sources.get("memory.rememberRuns", "MEMORY_REMEMBER_RUNS", parsing.truth, Memory.remembers_runs),
    )


def _mineru(sources: Sources) -> Mineru:
    default = Mineru()
    interval = sources.get("mineru.pollIntervalMs", "MINERU_POLL_INTERVAL_MS", parsing.count, default.poll_interval_ms)
    retries = sources.get("mineru.maxRetries", "MINERU_MAX_RETRIES", parsing.from_zero, default.max_retries)
    return Mineru(
        enabled=sources.get("mineru.enabled", "MINERU_ENABLED", parsing.truth, default.enabled),
        api_key=sources.get("mineru.apiKey", "MINERU_API_KEY", parsing.text, ""),
        uid_token=sources.get("mineru.uidToken", "MINERU_UID_TOKEN", parsing.text, ""),
        base_url=sources.get("mineru.baseUrl", "MINERU_BASE_URL", parsing.url, default.base_url),
        timeout_ms=sources.get("mineru.timeoutMs", "MINERU_TIMEOUT_MS", parsing.count, default.timeout_ms),
        max_retries=min(retries, 6),
        poll_interval_ms=max(interval, 1_000),
        max_poll_attempts=sources.get(
            "mineru.maxPollAttempts", "MINERU_MAX_POLL_ATTEMPTS", parsing.count, default.max_poll_attempts
        ),
        default_model_version=sources.get(
            "mineru.defaultModelVersion", "MINERU_DEFAULT_MODEL_VERSION", parsing.text, default.default_model_version
        ),
    )
