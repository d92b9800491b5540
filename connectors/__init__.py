"""Knowledge from outside that flows in by itself, stays right, and disappears when its source does.

What a connector brings takes one way into memory: source → parts → `memory.documents.ingesting.ingest`.
"""
