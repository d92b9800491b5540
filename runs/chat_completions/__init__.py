"""Agents for programs that know OpenAI's chat API: `/v1/chat/completions` and `/v1/models`. Each call is a run."""
