#!/usr/bin/env python3
"""All rows of a table at once, against what its database does alone: Postgres' COPY, ClickHouse's own ArrowStream.

Prints rows per second and rows per CPU-second (of server and database together) for both, their ratios, and how much
memory the server took above idle, for so many rows and for four times as many. The two are measured in turn, so that a
machine that slows down slows both. Whoever reads throws the bytes away, and is counted to neither.

    cargo build --release && target/tools/python/bin/python loadtests/bulk.py [--case postgres-arrow] [--rows 1000000]
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from servers import (
    REPOSITORY,
    Postgres,
    Server,
    clickhouse,
    cpu_seconds,
    forget_peak,
    martello,
    postgres,
    resident_bytes,
)

MIB = 1 << 20
# Memory is measured for this many times the rows, too: what grows with the answer shows.
LARGE = 4
# What the budget of a request and of its statement must not end: the largest answer of a slow machine.
PATIENCE = "10m"
ROLE = "bulk"
BARS, BARS_LARGE = "bars", "bars_large"
COLUMNS = {
    "symbol": "string",
    "date": "date",
    "open": "decimal(18,4)",
    "high": "decimal(18,4)",
    "low": "decimal(18,4)",
    "close": "decimal(18,4)",
    "volume": "int64",
    "seen": "timestamp",
}
SELECTED = ", ".join(COLUMNS)
# Symbols have a thousand sessions each; the expressions are of the row's number, in the words of both databases.
SESSIONS = 1000
POSTGRES_TABLE = """
    CREATE TABLE {name} (symbol text COLLATE "C" NOT NULL, date date NOT NULL, open numeric(18,4) NOT NULL,
      high numeric(18,4) NOT NULL, low numeric(18,4) NOT NULL, close numeric(18,4) NOT NULL, volume bigint NOT NULL,
      seen timestamptz NOT NULL);
    INSERT INTO {name} SELECT 'S' || lpad((n / {sessions})::text, 5, '0'), date '2020-01-01' + (n % {sessions})::int,
      100 + n % 997 * 0.25, 110 + n % 997 * 0.25, 90 + n % 991 * 0.125, 101.25 + n % 983 * 0.0625, 1000000 + n * 7,
      timestamptz '2020-01-01 22:30:00.123456+00' + n % {sessions} * interval '1 day'
      FROM generate_series(0, {rows}::bigint - 1) n;
    ALTER TABLE {name} ADD PRIMARY KEY (symbol, date);
    VACUUM ANALYZE {name};"""
CLICKHOUSE_TABLE = [
    """CREATE TABLE {name} (symbol String, date Date32, open Decimal(18,4), high Decimal(18,4), low Decimal(18,4),
      close Decimal(18,4), volume Int64, seen DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY (symbol, date)""",
    """INSERT INTO {name} SELECT 'S' || leftPad(toString(intDiv(number, {sessions})), 5, '0'),
      toDate32('2020-01-01') + number % {sessions}, 100 + number % 997 * toDecimal64('0.25', 4),
      110 + number % 997 * toDecimal64('0.25', 4), 90 + number % 991 * toDecimal64('0.125', 4),
      toDecimal64('101.25', 4) + number % 983 * toDecimal64('0.0625', 4), 1000000 + number * 7,
      toDateTime64('2020-01-01 22:30:00.123456', 6, 'UTC') + toIntervalDay(number % {sessions}) FROM numbers({rows})""",
    "OPTIMIZE TABLE {name} FINAL",
]
# As clients read it best: neither time nor memory for packing, texts as texts.
ARROW_SETTINGS = "output_format_arrow_compression_method='none', output_format_arrow_string_as_string=1"


class Case(NamedTuple):
    source: str
    media_type: str
    # What the database's own answer is asked by: for Postgres the end of COPY, for ClickHouse that of SELECT.
    limit: str
    aim: float


CASES = {
    "postgres-arrow": Case("postgres", "arrow", "TO STDOUT (FORMAT binary)", 0.9),
    "postgres-csv": Case("postgres", "csv", "TO STDOUT (FORMAT csv, HEADER)", 0.9),
    "clickhouse-arrow": Case("clickhouse", "arrow", f"FORMAT ArrowStream SETTINGS {ARROW_SETTINGS}", 0.8),
}


class Database(NamedTuple):
    """A filled database: how Martello reaches it, its process, and the command that reads a table without Martello."""

    url: str
    pid: int
    read: Callable[[str, str], list[str]]


class Measured(NamedTuple):
    rows_per_second: float
    rows_per_cpu_second: float
    share_of_server: float


@contextlib.contextmanager
def filled_postgres(folder: Path, rows: dict[str, int]) -> Iterator[Database]:
    with postgres(folder) as database:
        for name, count in rows.items():
            database.psql(POSTGRES_TABLE.format(name=name, rows=count, sessions=SESSIONS))
        yield Database(database.url, database.pid, lambda name, limit: copied(database, name, limit))


def copied(database: Postgres, name: str, limit: str) -> list[str]:
    return [*database.client("psql"), "-qX", "-c", f"COPY (SELECT {SELECTED} FROM {name}) {limit}"]


@contextlib.contextmanager
def filled_clickhouse(folder: Path, rows: dict[str, int]) -> Iterator[Database]:
    with clickhouse(folder) as (url, pid):
        for name, count in rows.items():
            for statement in CLICKHOUSE_TABLE:
                sql = statement.format(name=name, rows=count, sessions=SESSIONS)
                subprocess.run([*curl(), "--data-binary", sql, f"{url}/"], check=True)
        own = url.replace("http://", "clickhouse://default@") + "/default"
        select = f"SELECT {SELECTED} FROM"
        yield Database(own, pid, lambda name, limit: [*curl(), "--data-binary", f"{select} {name} {limit}", f"{url}/"])


def curl() -> list[str]:
    # It fails when the status is not 200, and when an answer ends early.
    return ["curl", "--silent", "--show-error", "--fail", "--no-buffer"]


def asked(server: Server, name: str, case: Case) -> list[str]:
    target = f"/v1/datasets/{name}/rows?limit=all&format={case.media_type}"
    return [*curl(), "-H", f"Authorization: Bearer {server.token}", f"{server.url}{target}"]


def write_catalog(folder: Path) -> None:
    """Both tables, and one role that may have all of them in every media type. JSON is YAML, too."""
    (folder / "datasets").mkdir(parents=True)
    said = "A bar of the load test."
    for name in (BARS, BARS_LARGE):
        contract = {
            "name": name,
            "family": "technical",
            "title": said,
            "description": said,
            "owner": "load@example.com",
            "source": {"name": "marts", "relation": name},
            "primary_key": ["symbol", "date"],
            "columns": [{"name": column, "type": kind, "description": said} for column, kind in COLUMNS.items()],
            "sla": {word: said for word in ("business_need", "expectation", "delivery", "affected", "breach")},
        }
        (folder / "datasets" / f"{name}.yaml").write_text(json.dumps(contract))
    role = {
        "name": ROLE,
        "tier": "internal",
        "description": said,
        "claims": {"tier": "internal"},
        "formats": "all",
        "export": True,
        "datasets": {name: {"columns": "all"} for name in (BARS, BARS_LARGE)},
    }
    (folder / "access.yaml").write_text(json.dumps({"roles": [role]}))


def read(command: list[str]) -> float:
    """Reads all that a program says, and takes the time of it."""
    begun = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def check(command: list[str], media_type: str, rows: int) -> None:
    """A figure means nothing if some rows are missing."""
    got = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    if media_type == "arrow":
        found = sum(batch.num_rows for batch in pa.ipc.open_stream(io.BytesIO(got)))
    else:
        found = got.count(b"\n") - 1
    if found != rows:
        sys.exit(f"{found:,} rows instead of {rows:,}: the figures would mean nothing")


def measured(command: list[str], rows: int, database: Database, server: Server | None) -> Measured:
    before_database, before_server = cpu_seconds(database.pid), cpu_seconds(server.pid) if server else 0.0
    seconds = read(command)
    of_server = cpu_seconds(server.pid) - before_server if server else 0.0
    # A short run may cost less than the kernel's tick.
    both = max(of_server + cpu_seconds(database.pid) - before_database, 1e-2)
    return Measured(rows / seconds, rows / both, of_server / both)


def median(all_measured: list[Measured]) -> Measured:
    return Measured(*(statistics.median(figures) for figures in zip(*all_measured, strict=True)))


def peak_bytes(cli: argparse.Namespace, folder: Path, config: dict, name: str, case: Case) -> int:
    """What a fresh server takes above its idle, which is what it has after a small answer."""
    with martello(cli.binary, folder, ROLE, config) as server:
        read([part.replace("limit=all", "limit=100") for part in asked(server, name, case)])
        idle = resident_bytes(server.pid, "VmRSS")
        forget_peak(server.pid)
        read(asked(server, name, case))
        return resident_bytes(server.pid, "VmHWM") - idle


def measure(cli: argparse.Namespace, folder: Path, name: str, database: Database) -> None:
    case = CASES[name]
    config = {
        "catalog": str(folder / "catalog"),
        "http": {"request_timeout": PATIENCE},
        "sources": {"marts": {"url": database.url, "statement_timeout": PATIENCE}},
        # Statements are slow here by intent.
        "log": {"level": "error"},
    }
    limit_command = database.read(BARS, case.limit)
    limits, ours = [], []
    with martello(cli.binary, folder, ROLE, config) as server:
        our_command = asked(server, BARS, case)
        check(our_command, case.media_type, cli.rows)
        read(limit_command)
        for _ in range(cli.repeat):
            limits.append(measured(limit_command, cli.rows, database, None))
            ours.append(measured(our_command, cli.rows, database, server))
    limit, our = median(limits), median(ours)
    ratio, ratio_cpu = our.rows_per_second / limit.rows_per_second, our.rows_per_cpu_second / limit.rows_per_cpu_second
    peaks = [peak_bytes(cli, folder, config, bars, case) / MIB for bars in (BARS, BARS_LARGE)]
    print(
        f"| {name} | {limit.rows_per_second:,.0f} | {our.rows_per_second:,.0f} | {ratio:.2f} (aim {case.aim})"
        f" | {limit.rows_per_cpu_second:,.0f} | {our.rows_per_cpu_second:,.0f} | {ratio_cpu:.2f}"
        f" | {our.share_of_server:.0%} | {peaks[0]:.1f} | {peaks[1]:.1f} |",
        flush=True,
    )


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cli.add_argument("--rows", type=int, default=1_000_000, help="of the table")
    cli.add_argument("--repeat", type=int, default=5, help="the median of so many is told")
    cli.add_argument("--case", choices=list(CASES), action="append", help="only this case; may be repeated")
    cli.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/martello")
    cli = cli.parse_args()
    if not shutil.which("curl"):
        sys.exit("install curl first (Debian: curl)")
    names = cli.case or list(CASES)
    rows = {BARS: cli.rows, BARS_LARGE: LARGE * cli.rows}
    print(f"{cli.rows:,} rows of {len(COLUMNS)} columns, {os.cpu_count()} cores, medians of {cli.repeat}\n")
    heads = ["case", "limit, rows/s", "Martello", "ratio", "limit, rows/CPU-s", "Martello", "ratio"]
    heads += ["server's share of CPU", "MiB above idle", f"at {LARGE} times the rows"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with tempfile.TemporaryDirectory(prefix="martello-bulk-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o711)
        write_catalog(folder / "catalog")
        databases = {
            "postgres": lambda: filled_postgres(folder / "postgres", rows),
            "clickhouse": lambda: filled_clickhouse(folder / "clickhouse", rows),
        }
        for source, filled in databases.items():
            mine = [name for name in names if CASES[name].source == source]
            if mine:
                with filled() as database:
                    for name in mine:
                        measure(cli, folder, name, database)


if __name__ == "__main__":
    main()
