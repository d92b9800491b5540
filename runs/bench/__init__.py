"""`manage.py bench engine queue streams`: what a step costs, how soon a run begins, how many can watch."""

from runs.bench import engine, queue, streams

__all__ = ["engine", "queue", "streams"]
