"""An app that gives a process an embedding model that never answers."""
