"""Vectors for texts: the models that make them (`ports`), which of them serves (`serving`), and who makes them when.

A query is embedded by the process that asks (`queries`); passages by one process a machine, `manage.py embedder`
(`queue`, `filling`), after the transaction that wrote them.
"""
