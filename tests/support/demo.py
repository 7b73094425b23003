"""The demo as a process, with or without a terminal, and what it has on the machine."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = [
    "LAST_LINE",
    "PATIENCE",
    "DemoProcess",
    "RunningDemo",
    "Stop",
    "demo_on_terminal",
    "read_terminal",
    "run_demo",
    "start_demo",
    "wait_until",
]

PATIENCE = 100.0  # seconds, of which a quiet machine needs four
LAST_LINE = "Ctrl-C stops everything and leaves nothing behind."


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:g} seconds"
        time.sleep(0.02)


FEW_ORDERS = 1000
"""In the shop of a demo whose end is looked at: all that are in it by right take half of the time of a start."""

# What a demo is started by: it writes down the temporary folders that are made and, where a stage is given, sends a
# signal when the program of that name is being started. Audit events are Python's own, so nothing is replaced there.
LAUNCHER = """
import dataclasses, os, runpy, sys, threading
from pooler.demo import run, shop
folders, stage, orders, number, to_group = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5] == "True"
del sys.argv[1:6]
every, some = f"generate_series(1, {shop.ORDERS})", f"generate_series(1, {orders})"
run.STEPS = tuple(dataclasses.replace(step, sql=step.sql.replace(every, some)) for step in shop.STEPS)
def strike():
    (os.killpg if to_group else os.kill)(os.getpid(), number)
def on_event(event, arguments):
    if event == "tempfile.mkdtemp":
        with open(folders, "a") as file:
            print(arguments[0], file=file)
    elif event == "subprocess.Popen" and stage and stage in map(os.path.basename, map(str, arguments[1])):
        threading.Timer(0.05, strike).start()  # the program runs by then, or is about to: both are to be survived
sys.addaudithook(on_event)
runpy.run_module("pooler", run_name="__main__")
"""


@dataclass(frozen=True)
class Stop:
    """When to send a signal, and which: as a terminal does to all, or as kill(1) does to the demo alone."""

    stage: str = ""
    signal: signal.Signals = signal.SIGTERM
    to_group: bool = False


@dataclass
class DemoProcess:
    """A demo that may be anywhere between its start and its end."""

    process: subprocess.Popen[str]
    _folders: Path
    _sockets: set[str] = field(default_factory=set)

    @property
    def folders(self) -> list[Path]:
        """The temporary folders that it has made so far."""
        return [Path(line) for line in self._folders.read_text().splitlines()]

    def processes(self) -> list[psutil.Process]:
        """The processes that its folders are named by: in the command, as working directory, in the environment."""
        names = [str(folder) for folder in self.folders]
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # gone, or somebody else's
                texts = [*process.cmdline(), process.cwd(), *process.environ().values()]
                if any(name in text for name in names for text in texts):
                    found.append(process)
        return found

    def note_sockets(self) -> int:
        """Remember the TCP sockets that its processes listen on, and return how many these are.

        By inode, as the port of a socket that is closed may be somebody else's at once.
        """
        for process in self.processes():
            with suppress(FileNotFoundError):
                self._sockets |= {os.readlink(path) for path in Path(f"/proc/{process.pid}/fd").iterdir()}
        self._sockets &= listening_sockets()
        return len(self._sockets)

    def left(self) -> list[object]:
        """What of it is still on the machine."""
        folders = [folder for folder in self.folders if folder.exists()]
        return [*self.processes(), *folders, *(self._sockets & listening_sockets())]

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


def listening_sockets() -> set[str]:
    """The TCP sockets of this machine that listen, as /proc/PID/fd names them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A"}


@contextmanager
def start_demo(stop: Stop = Stop(), terminal: int | None = None, orders: int = FEW_ORDERS) -> Iterator[DemoProcess]:
    """Start the demo, on a terminal or with an environment that would mislead it if it listened to it.

    Whatever a test finds, the demo is gone at the end.
    """
    misleading = {"COLUMNS": "40", "PGPORT": "1", "PGUSER": "nobody", "PGOPTIONS": "-c search_path=elsewhere"}
    program = LAUNCHER
    if terminal is not None:
        misleading = {"TERM": "xterm-256color"}
        # The first terminal that a session without one opens becomes its own.
        program = f"import os; os.open({os.ttyname(terminal)!r}, os.O_RDWR)\n{LAUNCHER}"
    with tempfile.TemporaryDirectory() as folder:
        folders = Path(folder) / "folders"
        folders.touch()
        arguments = [str(folders), stop.stage, str(orders), str(int(stop.signal)), str(stop.to_group), "demo"]
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"} | misleading,
            start_new_session=True,
        )
        try:
            yield DemoProcess(process, folders)
        finally:
            process.kill()  # its watchdogs do the rest
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def find_dsns(text: str) -> list[str]:
    return re.findall(r"postgresql://\S+", text)


@dataclass
class RunningDemo:
    """A demo that has printed all it has to say."""

    demo: DemoProcess
    output: str

    @property
    def proxy(self) -> str:
        return find_dsns(self.output)[0]

    @property
    def database(self) -> str:
        return find_dsns(self.output)[1]

    @property
    def lines(self) -> list[str]:
        """The lines to paste: each follows its numbered title."""
        return re.findall(r"^\d\. .*\n(.+)$", self.output, re.MULTILINE)

    @property
    def folder(self) -> Path:
        return next(folder for folder in self.demo.folders if folder.name.startswith("interceptor-demo-"))

    @property
    def errors(self) -> str:
        """What it wrote to the standard error, once it has ended."""
        assert self.demo.process.stderr is not None
        return self.demo.process.stderr.read()


@contextmanager
def run_demo(orders: int = FEW_ORDERS) -> Iterator[RunningDemo]:
    """A demo without a terminal, as soon as it has said what to try."""
    with start_demo(orders=orders) as demo:
        output = ""
        assert demo.process.stdout is not None
        while LAST_LINE not in output:
            line = demo.process.stdout.readline()
            assert line, f"the demo ended early: {output}"
            output += line
        assert demo.note_sockets() == 3  # of the proxy, the primary and the replica
        yield RunningDemo(demo, output)


@contextmanager
def demo_on_terminal() -> Iterator[tuple[DemoProcess, int]]:
    """A demo that has a terminal of 80 columns, and our end of that, which the caller closes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    with start_demo(terminal=theirs) as demo:
        os.close(theirs)
        yield demo, ours


def read_terminal(terminal: int, end: str) -> str:
    """What is written to the terminal up to and with ``end``, without colours and carriage returns."""
    text = b""
    while end.encode() not in text:
        assert select.select([terminal], [], [], PATIENCE)[0], f"not a word for {PATIENCE} seconds after: {text!r}"
        text += os.read(terminal, 65536)
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text.decode().replace("\r", ""))
