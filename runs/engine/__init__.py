"""The engine: what takes a claimed run from where it stands to its end, and what it sees, limits and records on the way."""
