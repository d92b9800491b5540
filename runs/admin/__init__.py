"""Runs in the organisation's admin: what they did and cost, what they ask, what starts them, and the foreign servers they use."""

from runs.admin import approvals, mcp_servers, runs, schedules, spending

__all__ = ["approvals", "mcp_servers", "runs", "schedules", "spending"]
