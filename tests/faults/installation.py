"""A whole installation of processes: a database, web processes and clusters of its own, all of which a test may end.

It is known by HTTP alone. What a client was told is what counts, so a request that gets no answer, or a 503, is made
again under the same idempotency key, as a careful program would.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from openintern import data_directory
from openintern.ids import random_text
from openintern.postgres import Server
from tests.faults.processes import ROOT, WorkerCluster, living, wait_until

#: Nothing here outlives the machine, but everything has to outlive the server's own death.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "autovacuum_naptime": "10s"}
CANARY = "sk-canary"
_LET_IN = """
from openintern.tenancy import keys, people
from openintern.tenancy.roles import Role
org = people.create_organization("{slug}")
user, _ = people.create_person("owner_{slug}", org=org, role=Role.OWNER, password="correct horse battery")
print(keys.create_api_key(org=org, user=user)[1])
"""
PATIENCE = 120.0  # seconds: how long a client goes on asking


@dataclass
class HttpClient:
    """One person's program. It speaks as Django's test client does, as far as the history asks."""

    url: str
    key: str
    logs: Callable[[], str]
    answers: Counter[int] = field(default_factory=Counter)

    def with_key(self) -> HttpClient:
        return self

    def get(self, path: str, query: dict[str, Any] | None = None) -> httpx.Response:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: Any = None, *, content_type: str = "application/json") -> httpx.Response:
        """Under one key however often it is tried: what was accepted before the answer got lost isn't started twice."""
        return self._ask("POST", path, json=body or {}, headers={"Idempotency-Key": random_text(20)})

    def delete(self, path: str) -> httpx.Response:
        return self._ask("DELETE", path)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def _ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """Return the first answer that isn't "try again". A 500 isn't one: nobody is told of a bug for a fault."""
        ends_at = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx.request(
                    method, self.url + path, headers=self.headers | (headers or {}), timeout=20, **options
                )
            except httpx.HTTPError:
                self.answers[0] += 1
            else:
                self.answers[answer.status_code] += 1
                assert answer.status_code != 500, f"{method} {path}: {answer.text}\n{self.logs()[-12000:]}"
                if answer.status_code != 503:
                    return answer
                assert answer.headers["Retry-After"], "a 503 says when to come back"
            assert time.monotonic() < ends_at, f"{method} {path}: no answer within {PATIENCE} s\n{self.logs()[-6000:]}"
            time.sleep(0.2)


class Installation:
    """Made empty; `organisation` lets people in, `start_web` and `start_workers` set it going."""

    def __init__(self, place: Path, *, told: dict[str, str]) -> None:
        self.place = place
        self._server = Server(place / "database", settings=SETTINGS)
        self._keeper = ThreadPoolExecutor(max_workers=1)  # a server ends with the thread that started it
        self._database = self._keeper.submit(self._server.start).result()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.environ = os.environ | {
            "DATABASE_URL": self._server.url(),
            "DATA_DIR": str(place / "data"),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "LLM_API_KEY": CANARY,
            **told,
        }
        self.clusters: list[WorkerCluster] = []
        self.web: subprocess.Popen[bytes] | None = None
        self.database_restarts = self.web_restarts = 0
        self.manage("migrate_schemas", "--verbosity", "0")

    @property
    def database_url(self) -> str:
        return self.environ["DATABASE_URL"]

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def organisation(self, slug: str) -> HttpClient:
        """Make one with one person, and return that person's program."""
        key = self.manage("shell", "--verbosity", "0", "--command", _LET_IN.format(slug=slug)).split()[-1]
        return HttpClient(self.url, key, self.logs)

    def start_web(self) -> None:
        """Start the web process, again if need be: its socket stays, so clients wait rather than be refused."""
        fd = self._listening.fileno()
        with (self.place / "web.log").open("ab") as output:
            self.web = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "openintern.asgi:application", "--fd", str(fd)],
                cwd=ROOT,
                env={**self.environ, "OPENINTERN_DATABASE_POOL": "on"},
                pass_fds=[fd],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill_web(self) -> None:
        assert self.web is not None
        self.web.kill()
        self.web.wait()

    def restart_web(self) -> None:
        self.kill_web()
        self.start_web()
        self.web_restarts += 1

    def start_workers(self, number: int) -> WorkerCluster:
        log = self.place / f"cluster{len(self.clusters)}.log"
        self.clusters.append(WorkerCluster(environ={**self.environ, "OPENINTERN_WORKERS": str(number)}, log=log))
        return self.clusters[-1]

    def wait_ready(self) -> None:
        """Return once a run would be accepted and carried out."""

        def is_healthy() -> bool:
            try:
                return httpx.get(f"{self.url}/health", timeout=20).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(is_healthy, within=60, what="health")

    def restart_database(self) -> float:
        """`pg_ctl restart -m immediate`: every session is cut off, nothing is written; returns when it was back."""
        return self._keeper.submit(self._restart_database).result()

    def _restart_database(self) -> float:
        self._database.send_signal(signal.SIGQUIT)
        self._database.wait(30)
        self._database = self._server.start()
        assert self._server.url() == self.database_url, "it came back at another address"
        self.database_restarts += 1
        return time.monotonic()

    def workers(self) -> list[int]:
        """The living processes below every cluster's sentinel, the one that gives the signs of life excepted."""
        parents = living()
        return [pid for cluster in self.clusters for pid in _grandchildren(cluster, parents)]

    def logs(self) -> str:
        """All that its processes have written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.place.glob("*.log")))

    def close(self) -> None:
        for cluster in self.clusters:
            cluster.kill()
        if self.web is not None:
            self.kill_web()
        self._listening.close()
        self._server.stop(self._database)
        self._server.destroy()
        self._keeper.shutdown()


def _grandchildren(cluster: WorkerCluster, parents: dict[int, int]) -> list[int]:
    sentinels = {pid for pid, parent in parents.items() if parent == cluster.process.pid}
    return sorted(pid for pid, parent in parents.items() if parent in sentinels)


@contextmanager
def installed(**told: str) -> Iterator[Installation]:
    """An installation for the length of a block. What its processes said is kept beside the test's output if it fails."""
    place = Path(tempfile.mkdtemp(prefix="openintern-faults-"))
    place.chmod(data_directory.private_mode())
    try:
        installation = Installation(place, told=told)
        try:
            yield installation
        except BaseException:
            print(f"the end of the logs:\n{installation.logs()[-6000:]}")
            raise
        finally:
            installation.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)
