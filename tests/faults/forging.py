"""Makes workers by forking, so that each is warm: reads a line, and answers with the pid of a new one.

It waits for SIGCONT, works until there is no run to be claimed, and ends.
"""

from __future__ import annotations

import os
import signal
import sys

import django


def main() -> None:
    """Fork a worker for each line."""
    django.setup()
    from runs.llm.registry import load_ahead
    from runs.queue.worker import work_off  # what a worker imports, it has

    load_ahead()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            work_off()
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
