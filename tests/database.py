"""A PostgreSQL for the tests: DATABASE_URL, or an embedded one for as long as the tests run.

Loaded with `-p tests.database`, before the settings are read. Processes that the tests start inherit it.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from contextlib import ExitStack

from openintern.postgres import temporary_server

stack = ExitStack()
atexit.register(stack.close)

if not os.environ.get("DATA_DIR"):
    os.environ["DATA_DIR"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="openintern-tests-"))
os.environ.setdefault("OPENINTERN_CONFIG", os.devnull)
os.environ.setdefault("EMBEDDING_MODEL", "hash")
# What one test's runs leave would come back in another's: those about memory turn it on.
os.environ.setdefault("MEMORY_RECALLED", "0")
os.environ.setdefault("MEMORY_REMEMBER_RUNS", "off")

if not os.environ.get("DATABASE_URL"):
    os.environ["DATABASE_URL"] = stack.enter_context(temporary_server())
