#!/usr/bin/env python3
"""Files: what is behind a link against nginx sending the same file, and an export against pyarrow writing the same rows.

Prints megabytes per second for a whole file and for ranges of a megabyte out of it, and rows per second for Parquet. The
two are measured in turn, so that a machine that slows down slows both. Whoever reads throws the bytes away. Of "export" both
have their rows in memory (loadtests/export.rs). Of the databases it is the whole command, from its start, against a script
that reads the same rows by the fastest client that Python has, and writes them by pyarrow. Memory is told as well: it must
not grow with the files.

    cargo build --release --bins --examples
    target/tools/python/bin/python loadtests/assets.py [--case whole] [--megabytes 50]

"postgres" needs the peer's client: target/tools/python/bin/pip install adbc-driver-postgresql
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from bulk import (
    ARROW_SETTINGS,
    BARS,
    BARS_LARGE,
    COLUMNS,
    LARGE,
    MIB,
    ROLE,
    SELECTED,
    filled_clickhouse,
    filled_postgres,
    write_catalog,
)
from bulk import Database as Filled
from servers import (
    REPOSITORY,
    START_SECONDS,
    Server,
    forget_peak,
    free_port,
    martello,
    resident_bytes,
)

MB = 1_000_000
RANGE_BYTES = 1 * MB
RANGES = 100
AIMS = {"whole": 0.7, "ranges": 0.7, "export": 1.0, "postgres": 1.0, "clickhouse": 1.0}
DECIMAL = pa.decimal128(18, 4)
NGINX = """
worker_processes auto;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    server {{ listen 127.0.0.1:{port}; location / {{ root {folder}; }} }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, files: Path) -> Iterator[str]:
    """nginx as it is at its best: files of a folder, by sendfile."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        sys.exit("install nginx first (Debian: nginx-light)")
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(port=port, folder=files))
    whole = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    server = subprocess.Popen([program, "-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g", whole])
    try:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/file"
    finally:
        server.terminate()
        server.wait(START_SECONDS)


class Reader:
    """Reads a URL over one connection, as a client does that wants much of it."""

    def __init__(self, url: str, size: int) -> None:
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.netloc)
        self.target = urllib.parse.urlunsplit(parts._replace(scheme="", netloc=""))
        self.size, self.buffer = size, bytearray(1 << 20)

    def read(self, **headers: str) -> int:
        self.connection.request("GET", self.target, headers=headers)
        answer = self.connection.getresponse()
        if answer.status not in (200, 206):
            sys.exit(f"{self.target}: {answer.status}")
        total = 0
        while count := answer.readinto(self.buffer):
            total += count
        return total

    def whole(self) -> int:
        return self.read()

    def ranges(self) -> int:
        # The same ones for both.
        places = random.Random(1)
        begins = (places.randrange(self.size - RANGE_BYTES) for _ in range(RANGES))
        return sum(self.read(Range=f"bytes={begin}-{begin + RANGE_BYTES - 1}") for begin in begins)


def rate(work: Callable[[], int], expected: int) -> float:
    begun = time.monotonic()
    done = work()
    if done != expected:
        sys.exit(f"{done:,} instead of {expected:,}: the figures would mean nothing")
    return done / (time.monotonic() - begun)


def compared(cli: argparse.Namespace, name: str, limit: Callable[[], int], ours: Callable[[], int], done: int) -> None:
    limits, all_ours = [], []
    for work in (limit, ours):
        rate(work, done)
    for _ in range(cli.repeat):
        limits.append(rate(limit, done))
        all_ours.append(rate(ours, done))
    one, other = statistics.median(limits), statistics.median(all_ours)
    unit = "bytes/s" if name in ("whole", "ranges") else "rows/s"
    print(f"| {name} | {one:,.0f} {unit} | {other:,.0f} {unit} | {other / one:.2f} (aim {AIMS[name]}) |", flush=True)


def configured(folder: Path, database: Filled) -> dict:
    return {
        "catalog": str(folder / "catalog"),
        "sources": {"marts": {"url": database.url}},
        "assets": {"store": {"url": str(folder / "files")}},
    }


def command(cli: argparse.Namespace, folder: Path, database: Filled, *arguments: str) -> None:
    file = folder / "command.yaml"
    file.write_text(json.dumps(configured(folder, database) | {"auth": {"hs256": "only for commands, 32 bytes and more"}}))
    subprocess.run([cli.binary, "--config", file, *arguments], check=True, stdout=subprocess.DEVNULL)


def linked(server: Server) -> str:
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "application/json"}

    def get(path: str) -> dict:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers)) as answer:
            return json.load(answer)["data"]

    (asset,) = get("/v1/assets")
    return urllib.parse.urljoin(server.url, get(asset["href"])["url"])


def fetches(cli: argparse.Namespace, folder: Path, database: Filled, names: list[str]) -> None:
    size, static = cli.megabytes * MB, folder / "static"
    static.mkdir()
    (static / "file").write_bytes(random.Random(0).randbytes(size))
    put = ["asset", "put", str(static / "file"), "--dataset", BARS, "--media-type", "application/octet-stream"]
    command(cli, folder, database, *put)
    (folder / "nginx").mkdir()
    with (
        nginx(folder / "nginx", static) as url,
        martello(cli.binary, folder, ROLE, configured(folder, database)) as server,
    ):
        limit, ours = Reader(url, size), Reader(linked(server), size)
        ours.read(Range="bytes=0-999")
        idle = resident_bytes(server.pid, "VmRSS")
        forget_peak(server.pid)
        if "whole" in names:
            compared(cli, "whole", limit.whole, ours.whole, size)
        if "ranges" in names:
            compared(cli, "ranges", limit.ranges, ours.ranges, RANGES * RANGE_BYTES)
        taken = (resident_bytes(server.pid, "VmHWM") - idle) / MIB
    print(f"\nThe server took {taken:.1f} MiB above idle, of files of {cli.megabytes} MB.")


def peak_of_export(cli: argparse.Namespace, folder: Path, database: Filled, name: str) -> float:
    """What one export takes at most, in MiB: all of a process that does nothing else."""
    file = folder / "command.yaml"
    out = folder / "peak"
    shutil.rmtree(out, ignore_errors=True)
    command = [cli.binary, "--config", file, "export", name, "--format", "parquet", "--role", ROLE, "--out", out]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    # What the kernel tells at the end counts what this process had when it made that one.
    while process.poll() is None:
        with contextlib.suppress(OSError, KeyError, ValueError, StopIteration):
            peak = max(peak, resident_bytes(process.pid, "VmHWM"))
        time.sleep(0.01)
    if process.returncode:
        sys.exit(f"the export of {name} ended with {process.returncode}")
    return peak / MIB


class Exporting:
    """The exporter without a process of its own for each run."""

    def __init__(self, cli: argparse.Namespace, folder: Path, frame: Path) -> None:
        self.out = folder / "memory"
        program = cli.binary.parent / "examples/export"
        command = [program, folder / "command.yaml", BARS, ROLE, frame, self.out]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def export(self) -> int:
        shutil.rmtree(self.out, ignore_errors=True)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            sys.exit("the exporter ended")
        return rows_below(self.out)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(START_SECONDS)


def rows_below(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*.parquet"))


class Peer:
    """pyarrow, which writes as the export does: packed alike, in row groups of the same size."""

    def __init__(self, folder: Path, like: Path) -> None:
        first = pq.read_metadata(like).row_group(0)
        self.file, self.group, self.packed = folder / "peer.parquet", first.num_rows, first.column(0).compression.lower()

    def write(self, frame: pa.Table) -> int:
        pq.write_table(frame, self.file, compression=self.packed, row_group_size=self.group)
        return frame.num_rows


def read_postgres(database: Filled) -> pa.Table:
    """All rows by ADBC, which reads binary COPY; its decimals come as texts."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(database.url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {SELECTED} FROM {BARS} ORDER BY symbol, date")
        frame = cursor.fetch_arrow_table()
    decimals = [name for name, kind in COLUMNS.items() if kind.startswith("decimal")]
    return frame.cast(pa.schema([field.with_type(DECIMAL) if field.name in decimals else field for field in frame.schema]))


def read_clickhouse(database: Filled) -> pa.Table:
    command = database.read(BARS, f"ORDER BY symbol, date FORMAT ArrowStream SETTINGS {ARROW_SETTINGS}")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        return pa.ipc.open_stream(process.stdout).read_all()


def exports(cli: argparse.Namespace, folder: Path, database: Filled, names: list[str], reader: str) -> None:
    out = folder / f"out-{reader}"

    def ours() -> int:
        shutil.rmtree(out, ignore_errors=True)
        command(cli, folder, database, "export", BARS, "--format", "parquet", "--role", ROLE, "--out", str(out))
        return rows_below(out)

    ours()
    (written,) = out.rglob("*.parquet")
    peer = Peer(folder, written)
    if "export" in names:
        # Not the file that is written anew below.
        kept = folder / "frame.parquet"
        shutil.copy(written, kept)
        frame = pq.read_table(kept)
        with contextlib.closing(Exporting(cli, folder, kept)) as exporting:
            compared(cli, "export", lambda: peer.write(frame), exporting.export, cli.rows)
    if reader in names:
        read = {"postgres": read_postgres, "clickhouse": read_clickhouse}[reader]
        compared(cli, reader, lambda: peer.write(read(database)), ours, cli.rows)
        one, more = (peak_of_export(cli, folder, database, name) for name in (BARS, BARS_LARGE))
        print(f"\nAn export from {reader} took {one:.1f} MiB at most, {more:.1f} MiB of {LARGE} times the rows.\n")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cli.add_argument("--rows", type=int, default=1_000_000, help="of the export")
    cli.add_argument("--megabytes", type=int, default=50, help="of the file")
    cli.add_argument("--repeat", type=int, default=5, help="the median of so many is told")
    cli.add_argument("--case", choices=list(AIMS), action="append", help="only this case; may be repeated")
    cli.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/martello")
    cli = cli.parse_args()
    names = cli.case or list(AIMS)
    print(f"{cli.megabytes} MB, {cli.rows:,} rows, {os.cpu_count()} cores, medians of {cli.repeat}\n")
    print("| case | limit | Martello | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="martello-assets-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o711)
        write_catalog(folder / "catalog")
        rows = {BARS: cli.rows, BARS_LARGE: LARGE * cli.rows}
        with filled_postgres(folder / "postgres", rows) as database:
            if {"whole", "ranges"} & set(names):
                fetches(cli, folder, database, names)
            if {"export", "postgres"} & set(names):
                exports(cli, folder, database, names, "postgres")
        if "clickhouse" in names:
            with filled_clickhouse(folder / "clickhouse", rows) as database:
                exports(cli, folder, database, ["clickhouse"], "clickhouse")


if __name__ == "__main__":
    main()
