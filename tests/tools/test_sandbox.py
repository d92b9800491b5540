"""Commands reach nothing but their folder, use no more than they may, and leave nothing running."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from django.conf import settings

from runs.checks import commands
from runs.stop import Stop, Stopped
from runs.tools import sandbox
from runs.tools.executing import EXEC_COMMAND
from runs.tools.policy import decide, offered_tools
from runs.tools.registry import ToolContext, ToolError, tools
from runs.tools.workspace import Workspace

from .conftest import CANARY, Agent

T = TypeVar("T")
REQUIRED = os.environ.get("OPENINTERN_REQUIRE_SANDBOX") == "1"
NOBODY = 65534


def as_nobody(act: Callable[[], T]) -> T:
    """Do something as a user whom the kernel bounds: in a child, where the tests run as root."""
    if os.geteuid():
        return act()
    receiving, sending = Pipe(duplex=False)
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            sandbox._problem.cache_clear()
            sending.send((act(), None))
        except BaseException as error:  # noqa: BLE001  raised again in the parent
            sending.send((None, error))
        finally:
            os._exit(0)
    sending.close()
    result, error = receiving.recv()
    os.waitpid(child, 0)
    if error:
        raise error
    return result


@pytest.fixture
def root() -> Iterator[Path]:
    """As in the other tests, where another user gets through to it too."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        for name in ("orgA", "orgA2"):
            Path(folder, name).mkdir()
        Path(folder, "orgA2", "secret.txt").write_text(CANARY)
        if os.geteuid() == 0:
            os.chown(Path(folder, "orgA"), NOBODY, NOBODY)
        yield Path(folder, "orgA")


@pytest.fixture
def run(workspace: Workspace) -> Callable[..., Any]:
    """Call the tool as the engine would if the policy let it."""
    try:
        as_nobody(sandbox.require)
    except sandbox.Unavailable as error:
        if REQUIRED:
            raise
        pytest.skip(str(error))

    def call(command: str, *, stop: Stop | None = None, stop_after: float = 0, **arguments: Any) -> Any:
        def act() -> dict[str, Any]:
            halt = stop or Stop()
            if stop_after:
                threading.Timer(stop_after, halt.set, ("cancelled",)).start()
            context = ToolContext(
                scope=SimpleNamespace(),  # type: ignore[arg-type]  # the tool doesn't look at it
                run_id="run",
                tool_call_id="call",
                idempotency_key="key",
                workspace=workspace,
                stop=halt,
            )
            return EXEC_COMMAND.call(context, {"command": command, **arguments})

        return as_nobody(act)

    return call


def running(marker: str) -> list[str]:
    """The command lines of this machine's processes that hold `marker`."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it has ended
            continue
        if marker in line:
            lines.append(line)
    return lines


def test_a_command_works_in_the_workspace(run: Callable[..., Any], root: Path) -> None:
    result = run("echo hello > a.txt; pwd; echo oops >&2; exit 3")

    assert result == {"exit_code": 3, "timed_out": False, "stdout": "/workspace\n", "stderr": "oops\n", "truncated": []}
    assert (root / "a.txt").read_text() == "hello\n"


def test_nothing_outside_the_workspace_is_there_or_writable(run: Callable[..., Any], root: Path) -> None:
    outside = root.parent / "orgA2" / "secret.txt"
    link = f"ln -s {outside} link; cat link; cat ../orgA2/secret.txt /workspace/../orgA2/secret.txt {outside}"
    there = f"ls -d /root /home /etc /var /srv /opt {settings.BASE_DIR} {settings.CONFIG.server.base_dir}"

    result = run(
        f"{link}; {there}; touch /usr/x /x /dev/x /dev/shm/x; cat /proc/1/root{outside} /proc/*/environ; ls / /proc/self/fd"
    )

    assert CANARY not in str(result)
    assert not {"etc", "home", "root", "var"} & set(result["stdout"].split())
    assert not set(there.split()[2:]) & set(result["stdout"].split())
    assert not Path("/usr/x").exists()
    assert result["stderr"].count("Read-only file system") == 4


def test_the_environment_holds_no_secret(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    environment = run("env; cat /proc/*/environ | tr '\\0' '\\n'")["stdout"]

    assert CANARY not in environment
    assert {line.partition("=")[0] for line in environment.split()} <= {
        "PATH",
        "HOME",
        "LANG",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    }


def test_there_is_no_network(run: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        result = run(f"bash -c 'echo hi > /dev/tcp/127.0.0.1/{server.getsockname()[1]}'")

        assert result["exit_code"] != 0
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_process_of_others_is_seen_or_signalled(run: Callable[..., Any]) -> None:
    result = run(f"ls /proc | grep -c '^[0-9]'; kill -0 {os.getpid()} && echo reached; unshare -U true && echo nested")

    assert int(result["stdout"]) < 8


def test_a_fork_bomb_is_bounded_and_gone(run: Callable[..., Any]) -> None:
    result = run("marker_bomb() { marker_bomb | marker_bomb & }; marker_bomb; sleep 1", timeout_ms=5000)

    assert "Cannot fork" in result["stderr"]
    assert running("marker_bomb") == []


def test_memory_and_files_are_bounded(run: Callable[..., Any], root: Path) -> None:
    result = run("head -c 100000000 /dev/zero > big; ls -l big | cut -d' ' -f5; ulimit -v; ulimit -t")

    assert result["stdout"].split() == [str(64 * 1024**2), str(2 * 1024**2), "120"]


def test_output_is_cut_while_it_is_read(run: Callable[..., Any]) -> None:
    result = run("yes | head -c 300000000; yes e | head -c 20000 >&2; echo", timeout_ms=60_000)

    assert result["truncated"] == ["stdout", "stderr"]
    assert result["exit_code"] == 0


@pytest.mark.parametrize(
    "command", ["sleep 7701", "exec >&- 2>&-; sleep 7701", "trap '' TERM; sleep 7701 & sleep 7701"]
)
def test_time_is_bounded(run: Callable[..., Any], command: str) -> None:
    result = run(command, timeout_ms=300)

    assert (result["exit_code"], result["timed_out"]) == (None, True)
    assert running("sleep 7701") == []


@pytest.mark.parametrize(
    "command", ["sleep 7702 & sleep 7702", "exec >&- 2>&-; sleep 7702", "trap '' TERM INT; setsid sleep 7702"]
)
def test_a_stop_ends_everything_at_once(run: Callable[..., Any], command: str) -> None:
    begun = time.monotonic()

    with pytest.raises(Stopped):
        run(command, stop_after=0.3)

    assert time.monotonic() - begun < 5
    assert running("sleep 7702") == []


def test_what_is_left_in_the_background_ends_with_the_command(run: Callable[..., Any]) -> None:
    assert run("(setsid sleep 7703 >/dev/null 2>&1 &); echo done")["stdout"] == "done\n"

    assert running("sleep 7703") == []


def test_a_worker_that_ignores_signals_does_not_pass_that_on(run: Callable[..., Any]) -> None:
    import signal

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run("kill -TERM $$; echo still here")["exit_code"] == 143
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_folder_has_to_be_in_the_workspace(run: Callable[..., Any], root: Path) -> None:
    (root / "docs").mkdir()

    assert run("pwd", cwd="docs")["stdout"] == "/workspace/docs\n"
    for cwd in ("..", "/", "nowhere"):
        with pytest.raises(ToolError):
            run("pwd", cwd=cwd)


def test_where_it_can_not_be_bounded_nothing_runs(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox._problem.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(ToolError, match="bwrap is not installed"):
        EXEC_COMMAND.call(agent.context, {"command": "true"})

    sandbox._problem.cache_clear()


def test_it_is_off_and_the_policy_asks_a_person_when_it_is_on() -> None:
    assert "exec_command" not in tools()
    assert (decide(tool=EXEC_COMMAND).verdict, decide(tool=EXEC_COMMAND).rule) == ("ask", "risk.high")
    assert EXEC_COMMAND not in offered_tools()
    assert commands().summary == "exec_command is off"
