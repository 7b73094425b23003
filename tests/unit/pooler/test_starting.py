"""What is imported before anybody is served: each package more is time at every start, and memory of every process."""

from __future__ import annotations

import subprocess
import sys

OTHERS = ["cryptography", "jwt", "prometheus_client", "rich", "sqlglot", "starlette", "uvicorn"]
PROGRAM = f"import sys, pooler.cli; print([name for name in {OTHERS} if name in sys.modules])"


def test_who_serves_without_http_imports_nothing_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
