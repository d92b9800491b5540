"""OpenIntern: a multi-tenant runtime for AI agents on one PostgreSQL."""

__version__ = "0.1.0"
