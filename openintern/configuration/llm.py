"""Which model answers: what was chosen, or what the keys at hand imply."""

from __future__ import annotations

from openintern.configuration import parsing
from openintern.configuration.sources import Sources
from openintern.configuration.values import LLM

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


def read(sources: Sources) -> LLM:
    """Settle the provider first; what the file says of another provider is not for this one."""
    in_file = sources.get("llm.provider", "", parsing.text, "")
    base_url = sources.get("", "LLM_BASE_URL", parsing.url, "")
    provider = sources.get("llm.provider", "LLM_PROVIDER", parsing.text, "").lower() or _implied_provider(
        sources, base_url=base_url
    )
    section = "llm" if in_file.lower() in ("", provider) else "another provider's llm"
    api_key = sources.get(f"{section}.apiKey", "LLM_API_KEY", parsing.text, "")
    base_url = base_url or _provider_base_url(sources, provider, section)
    # A key that was written down for this program counts before one the shell happens to have:
    # the other way round, a personal key could be sent to the server that the file names.
    api_key = api_key or sources.environ.get(KEY_VARIABLES.get(provider, ""), "")
    model = sources.get(f"{section}.model", "LLM_MODEL", parsing.text, DEFAULT_MODELS.get(provider, ""))
    if provider in KEY_VARIABLES and not api_key and not base_url:
        if sources.get("", "LLM_PROVIDER", parsing.text, ""):
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
        temperature=sources.get("llm.temperature", "LLM_TEMPERATURE", parsing.temperature, LLM.temperature),
        max_tokens=sources.get("llm.maxTokens", "LLM_MAX_TOKENS", parsing.count, LLM.max_tokens),
        allowed_base_urls=sources.get(
            "llm.allowedBaseUrls", "LLM_ALLOWED_BASE_URLS", parsing.texts, LLM.allowed_base_urls
        ),
    )


def _implied_provider(sources: Sources, *, base_url: str) -> str:
    """Return whose key or server was given when no provider was; `demo` when none."""
    for provider, variable in KEY_VARIABLES.items():
        if sources.environ.get(variable):
            return provider
    if base_url or sources.get("llm.apiKey", "LLM_API_KEY", parsing.text, ""):
        return "openai"
    return "demo"


def _provider_base_url(sources: Sources, provider: str, section: str) -> str:
    variable = f"{provider.upper()}_BASE_URL" if provider in OWN_BASE_URLS else ""
    base_url = sources.get(f"{section}.baseUrl", variable, parsing.url, "")
    return "" if base_url == OWN_BASE_URLS.get(provider) else base_url
