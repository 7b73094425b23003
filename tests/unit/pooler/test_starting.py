"""What is imported before anybody is served: each package more is time at every start, and memory of every process."""

from __future__ import annotations

import subprocess
import sys

OTHERS = ["cryptography", "jwt", "prometheus_client", "rich", "sqlglot", "starlette", "uvicorn"]
PROGRAM = f"import sys, pooler.cli; print([name for name in {OTHERS} if name in sys.modules])"


def test_who_serves_without_http_imports_nothing_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


SERVES = """
import asyncio, gc, os, signal
from pooler import serving
from pooler.config import config_from_upstream
from pooler.server import Server

async def main():
    server = Server(config_from_upstream("postgresql://nobody@127.0.0.1:1/none", listen="127.0.0.1:0"))
    started = server.start
    async def start():
        await started()
        asyncio.get_running_loop().call_soon(look)
    def look():
        print(len(gc.get_objects()) < gc.get_freeze_count() / 10)
        os.kill(os.getpid(), signal.SIGINT)
    server.start = start
    await serving.serve(server)

asyncio.run(main())
"""


def test_garbage_is_not_looked_for_in_what_is_there_at_the_start() -> None:
    done = subprocess.run([sys.executable, "-c", SERVES], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n", done.stderr
