#!/usr/bin/env python3
"""A row by its key, a page of 100 rows and the newest of five symbols, uncached, against pgbench running the same SQL.

Prints requests per second and requests per CPU-second (of server and database together) for both, and their ratios.
The two are measured in turn, so that a machine that slows down slows both.

    cargo build --release && python3 loadtests/uncached.py [--seconds 8] [--rounds 3] [--connections 16]
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# What a mart of daily bars looks like: 1,000 symbols with 1,000 sessions each.
SYMBOLS, SESSIONS = 1000, 1000
COLUMNS = "symbol, date, open, high, low, close, adj_close, volume, ex_dividend, split_ratio, source"
TICKS = os.sysconf("SC_CLK_TCK")


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
def postgres(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """A private Postgres with a million bars; yields its programs, port and pid."""
    programs, port, data = postgres_bin(), free_port(), folder / "data"
    as_server = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.mkdir(mode=0o700)
    if as_server:
        shutil.chown(folder, "postgres", "postgres")
    run = lambda *command: subprocess.run([*as_server, *map(str, command)], check=True, cwd="/", stdout=subprocess.DEVNULL)
    run(programs / "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D", data)
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{folder}' -c shared_buffers=1GB -c max_connections=100"
    run(programs / "pg_ctl", "start", "--silent", "--wait", "-D", data, "-l", folder / "log", "-o", options)
    try:
        for file in sorted((REPOSITORY / "schema/postgres").glob("*.sql")):
            psql(programs, port, file.read_text())
        psql(programs, port, f"""
            INSERT INTO price_daily ({COLUMNS})
            SELECT 'S' || lpad(s::text, 4, '0'), date '2020-01-01' + d, 100 + s % 90 + d % 7, 110 + s % 90, 90 + s % 90,
                   101.25 + s % 90, 99.123456 + s % 90, 1000000 + s * d, NULL, NULL, 'made'
            FROM generate_series(0, {SYMBOLS - 1}) s, generate_series(0, {SESSIONS - 1}) d;
            VACUUM ANALYZE price_daily;""")
        pid = int((data / "postmaster.pid").read_text().split()[0]) if not as_server else int(
            subprocess.run([*as_server, "head", "-n", "1", str(data / "postmaster.pid")], check=True, cwd="/", capture_output=True, text=True).stdout)
        yield programs, port, pid
    finally:
        run(programs / "pg_ctl", "stop", "--silent", "--mode=immediate", "-D", data)


def psql(programs: Path, port: int, sql: str) -> None:
    command = [programs / "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-d", "postgres"]
    # Statement by statement: VACUUM takes no company.
    subprocess.run(list(map(str, command)), input=sql, text=True, check=True)


@contextlib.contextmanager
def martello(binary: Path, folder: Path, database: int, connections: int) -> Iterator[tuple[str, str, int]]:
    """A server over that database; yields its URL, a token and its pid."""
    port, secret = free_port(), secrets.token_hex(32)
    config = folder / "martello.yaml"
    config.write_text(json.dumps({
        "catalog": str(REPOSITORY / "catalog"),
        "http": {"listen": f"127.0.0.1:{port}"},
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "sources": {"marts": {"url": f"postgres://postgres@127.0.0.1:{database}/postgres", "connections_max": connections}},
        "auth": {"hs256": secret},
        "paging": {"cursor_key": secret},
        "log": {"level": "warn"},
    }))
    token = subprocess.run([binary, "--config", config, "token", "mint", "--role", "client_pro"], check=True, capture_output=True, text=True).stdout.strip()
    server = subprocess.Popen([binary, "--config", config, "serve"])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", token, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


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


CASES = {
    # Each case: what pgbench runs, and what wrk asks.
    "key": {
        "sql": r"""\set s random(0, 999)
\set d random(0, 999)
SELECT {columns} FROM price_daily WHERE symbol = 'S' || lpad(:s::text, 4, '0') AND date = date '2020-01-01' + :d::int;""",
        "lua": """request = function()
  local day = os.date("!%Y-%m-%d", 1577836800 + 86400 * math.random(0, 999))
  return wrk.format("GET", string.format("/v1/datasets/price_daily/rows/S%04d/%s", math.random(0, 999), day))
end""",
    },
    "page": {
        "sql": r"""\set s random(0, 999)
SELECT {columns} FROM price_daily WHERE symbol = 'S' || lpad(:s::text, 4, '0') ORDER BY date DESC, symbol COLLATE "C" DESC LIMIT 101;""",
        "lua": """request = function()
  return wrk.format("GET", string.format("/v1/datasets/price_daily/rows?symbol=S%04d&sort=-date&limit=100", math.random(0, 999)))
end""",
    },
    "top": {
        # The newest 50 rows of five symbols: for each symbol its newest, and of those the newest again.
        "sql": "".join(f"\\set s{n} random(0, 999)\n" for n in range(5)) + "SELECT {columns} FROM unnest(ARRAY["
        + ", ".join(f"'S' || lpad(:s{n}::text, 4, '0')" for n in range(5)) + r"""]) AS keys(key)
  CROSS JOIN LATERAL (SELECT {columns} FROM price_daily WHERE symbol = key ORDER BY date DESC LIMIT 51) AS top
  ORDER BY date DESC, symbol COLLATE "C" DESC LIMIT 51;""".replace("\n", " "),
        "lua": """request = function()
  local symbols = {}
  for n = 1, 5 do symbols[n] = string.format("S%04d", math.random(0, 999)) end
  return wrk.format("GET", "/v1/datasets/price_daily/rows?symbol.in=" .. table.concat(symbols, ",") .. "&sort=-date&limit=50")
end""",
    },
}
# What client_pro may see, which is what the server selects.
SHOWN = COLUMNS.removesuffix(", source")
CHECK = """
counts = {}
setup = function(thread) table.insert(counts, thread) end
init = function() bad = 0 end
response = function(status) if status ~= 200 then bad = bad + 1 end end
done = function() local all = 0; for _, thread in ipairs(counts) do all = all + thread:get("bad") end; print("bad " .. all) end
"""


def run_pgbench(programs: Path, port: int, script: Path, seconds: int, connections: int) -> float:
    out = subprocess.run(
        [programs / "pgbench", "-n", "-M", "prepared", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c", str(connections),
         "-j", "1", "-T", str(seconds), "-f", script, "postgres"], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"tps = ([\d.]+)", out)[1])


def run_wrk(url: str, token: str, script: Path, seconds: int, connections: int) -> float:
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "-H", f"Authorization: Bearer {token}", url],
                         check=True, capture_output=True, text=True).stdout
    bad = int(re.search(r"bad (\d+)", out)[1])
    if bad:
        sys.exit(f"{bad} answers were not 200: the figures would mean nothing")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    cli.add_argument("--seconds", type=int, default=8, help="of each measurement")
    cli.add_argument("--rounds", type=int, default=3, help="the median of so many is told")
    cli.add_argument("--connections", type=int, default=16, help="to the database, and to the server")
    cli.add_argument("--case", choices=list(CASES), action="append", help="only this case; may be repeated")
    cli.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/martello")
    cli = cli.parse_args()
    if not shutil.which("wrk"):
        sys.exit("install wrk first (Debian: wrk)")
    with tempfile.TemporaryDirectory(prefix="martello-load-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o711)
        with postgres(folder / "postgres") as (programs, port, database), martello(cli.binary, folder, port, cli.connections) as (url, token, server):
            print(f"{SYMBOLS * SESSIONS:,} rows, {cli.connections} connections, {os.cpu_count()} cores, medians of {cli.rounds} rounds of {cli.seconds} s")
            print(f"{'case':6} {'pgbench/s':>10} {'martello/s':>10} {'ratio':>6}   {'pgbench/cpu-s':>13} {'martello/cpu-s':>14} {'ratio':>6}   server share of CPU")
            for name, case in ((name, CASES[name]) for name in cli.case or CASES):
                sql, lua = folder / f"{name}.sql", folder / f"{name}.lua"
                sql.write_text(case["sql"].format(columns=SHOWN))
                lua.write_text(case["lua"] + CHECK)
                limits, ours, limit_cpu, our_cpu, shares = [], [], [], [], []
                run_wrk(url, token, lua, 1, cli.connections)
                for _ in range(cli.rounds):
                    before = cpu_seconds(database)
                    rate = run_pgbench(programs, port, sql, cli.seconds, cli.connections)
                    limits.append(rate)
                    limit_cpu.append(rate * cli.seconds / (cpu_seconds(database) - before))
                    before_database, before_server = cpu_seconds(database), cpu_seconds(server)
                    rate = run_wrk(url, token, lua, cli.seconds, cli.connections)
                    of_server = cpu_seconds(server) - before_server
                    both = of_server + cpu_seconds(database) - before_database
                    ours.append(rate)
                    our_cpu.append(rate * cli.seconds / both)
                    shares.append(of_server / both)
                limit, our = statistics.median(limits), statistics.median(ours)
                limit_c, our_c = statistics.median(limit_cpu), statistics.median(our_cpu)
                print(f"{name:6} {limit:10,.0f} {our:10,.0f} {our / limit:6.2f}   {limit_c:13,.0f} {our_c:14,.0f} {our_c / limit_c:6.2f}   {statistics.median(shares):.0%}")


if __name__ == "__main__":
    main()
