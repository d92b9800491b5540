"""Runs in the organisation's admin: what they did and cost, what they ask, and the foreign servers they use."""

from runs.admin import approvals, mcp_servers, runs, spending

__all__ = ["approvals", "mcp_servers", "runs", "spending"]
