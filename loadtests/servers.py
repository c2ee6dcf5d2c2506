"""The private servers that load tests measure, and what they cost."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
START_SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")


class Postgres(NamedTuple):
    programs: Path
    port: int
    pid: int

    def psql(self, sql: str) -> None:
        # Statement by statement, as they come in: VACUUM takes no company.
        subprocess.run([*self.client("psql"), "-qX", "-v", "ON_ERROR_STOP=1"], input=sql, text=True, check=True)

    def client(self, program: str) -> list[str]:
        """One of Postgres' own clients, over TCP."""
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        return [str(self.programs / program), *address]

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"


class Server(NamedTuple):
    url: str
    token: str
    pid: int
    admin: str


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def postgres_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    program = str(found[-1]) if found else shutil.which("pgbench")
    if not program:
        sys.exit("install Postgres first (Debian: postgresql)")
    return Path(program).parent


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """An empty Postgres, which refuses to run as root."""
    programs, port, data = postgres_bin(), free_port(), folder / "data"
    as_server = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.mkdir(mode=0o700)
    if as_server:
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*as_server, str(programs / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)

    run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{folder}'"
    options += " -c shared_buffers=1GB -c max_connections=100"
    run("pg_ctl", "start", "--silent", "--wait", "-l", str(folder / "log"), "-o", options)
    try:
        pid_file = [*as_server, "head", "-n", "1", str(data / "postmaster.pid")]
        pid = subprocess.run(pid_file, check=True, cwd="/", capture_output=True, text=True).stdout
        yield Postgres(programs, port, int(pid))
    finally:
        run("pg_ctl", "stop", "--silent", "--mode=immediate")


@contextlib.contextmanager
def clickhouse(folder: Path) -> Iterator[tuple[str, int]]:
    """The engine that the tests have; yields its URL and pid."""
    command = [sys.executable, REPOSITORY / "tests/support/clickhouse.py", "--port", "0", "--path", folder]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        first = server.stdout.readline().split()
        if not first:
            sys.exit(f"ClickHouse did not start: {sys.executable} needs tests/support/requirements.txt")
        yield first[-1], server.pid
    finally:
        server.terminate()
        server.wait(START_SECONDS)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[tuple[str, int]]:
    """An empty Redis; yields its URL and pid."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}", server.pid
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def martello(binary: Path, folder: Path, role: str, config: dict) -> Iterator[Server]:
    """Martello with that configuration, on ports and with secrets of its own; the token is the role's."""
    port, admin, secret = free_port(), free_port(), secrets.token_hex(32)
    file = folder / f"martello-{port}.yaml"
    own = {
        "http": {"listen": f"127.0.0.1:{port}", **config.pop("http", {})},
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "auth": {"hs256": secret},
        "paging": {"cursor_key": secret},
        "log": {"level": "warn"},
        # Nobody reads what it would say.
        "audit": {"to": "off"},
    }
    file.write_text(json.dumps(own | config))
    mint = [binary, "--config", file, "token", "mint", "--role", role]
    token = subprocess.run(mint, check=True, capture_output=True, text=True).stdout.strip()
    server = subprocess.Popen([binary, "--config", file, "serve"])
    try:
        wait_until_ready(f"http://127.0.0.1:{admin}/readyz")
        yield Server(f"http://127.0.0.1:{port}", token, server.pid, f"http://127.0.0.1:{admin}")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(START_SECONDS)


def demo(binary: Path, folder: Path, config: dict) -> None:
    """Loads the demo data into the sources of a configuration, and publishes its bars."""
    loading = folder / "loading.yaml"
    loading.write_text(json.dumps(config | {"auth": {"hs256": "only for loading, 32 bytes and more"}}))
    for dataset in "company_profile=profile fundamental price_daily technical_daily news social_daily signal".split():
        name, _, file = dataset.partition("=")
        load = [binary, "--config", loading, "load", "--source", "marts", "--dataset", name]
        data = REPOSITORY / "demo/data" / f"{file or name}.parquet"
        subprocess.run([*load, data], check=True, stdout=subprocess.DEVNULL)
        if name == "price_daily":
            subprocess.run([*load, "--publish", data], check=True, stdout=subprocess.DEVNULL)


def wait_until_ready(probe: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(probe, timeout=1):
            return
        time.sleep(0.05)
    sys.exit(f"no answer from {probe} within {START_SECONDS} s")


def cpu_seconds(pid: int) -> float:
    """CPU of a process and of its children, those that have ended too."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15])) / TICKS
        todo += children.get(one, [])
    return total


def resident_bytes(pid: int, which: str) -> int:
    """`VmRSS`, what a process has in memory now, or `VmHWM`, the most that it had since [`forget_peak`]."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {which} in the status of {pid}")


def forget_peak(pid: int) -> None:
    # proc(5), clear_refs: 5 sets VmHWM to what is resident now.
    Path(f"/proc/{pid}/clear_refs").write_text("5")
