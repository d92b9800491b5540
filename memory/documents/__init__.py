"""Documents: what people send becomes archival memory, with the page and the section of each passage.

    accepted (bytes on disk, a row) → queued → reading (a process of its own, within bounds) → writing → done
                                                       └── failed, with the reason as a code

- `accepting.accept(scope, content=…, name=…)`: the door for pages, API and commands.
- `readers`: one for each format, behind one registry; they yield `parts.Part`s, whatever the format was.
- `reading.read(path, …)`: runs a reader where a hostile file can do no harm.
- `ingesting.ingest(owner, parts, …)`: the one way from parts to archival memory, for connectors too.
- `working`: claims, reads, writes; `manage.py reader` does nothing else.
- `shelving`: what people do with documents afterwards: list, forget, bring back, try again.

What a reader's process imports (`child`, `parts`, `kinds`, `readers`) knows nothing of Django.
"""
