"""Runs in the organisation's admin: what they did and cost, what they ask, what starts them, the foreign servers they use, who is told of them."""

from runs.admin import approvals, mcp_servers, runs, schedules, spending, webhooks

__all__ = ["approvals", "mcp_servers", "runs", "schedules", "spending", "webhooks"]
