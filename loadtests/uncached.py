#!/usr/bin/env python3
"""A row by its key, a page of 100 rows and the newest of five symbols, uncached, against pgbench running the same SQL.

Prints requests per second and requests per CPU-second (of server and database together) for both, and their ratios.
The two are measured in turn, so that a machine that slows down slows both.

    cargo build --release && python3 loadtests/uncached.py [--seconds 8] [--rounds 3] [--connections 16]
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import REPOSITORY, Postgres, cpu_seconds, martello, postgres

# What a mart of daily bars looks like: 1,000 symbols with 1,000 sessions each.
SYMBOLS, SESSIONS = 1000, 1000
COLUMNS = "symbol, date, open, high, low, close, adj_close, volume, ex_dividend, split_ratio, source"


def fill(database: Postgres) -> None:
    """A million bars."""
    for file in sorted((REPOSITORY / "schema/postgres").glob("*.sql")):
        database.psql(file.read_text())
    database.psql(f"""
        INSERT INTO price_daily ({COLUMNS})
        SELECT 'S' || lpad(s::text, 4, '0'), date '2020-01-01' + d, 100 + s % 90 + d % 7, 110 + s % 90, 90 + s % 90,
               101.25 + s % 90, 99.123456 + s % 90, 1000000 + s * d, NULL, NULL, 'made'
        FROM generate_series(0, {SYMBOLS - 1}) s, generate_series(0, {SESSIONS - 1}) d;
        VACUUM ANALYZE price_daily;""")


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


def run_pgbench(database: Postgres, script: Path, seconds: int, connections: int) -> float:
    options = ["-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", str(seconds), "-f", str(script)]
    out = subprocess.run([*database.client("pgbench"), *options, "postgres"], check=True, capture_output=True, text=True).stdout
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
        with postgres(folder / "postgres") as database:
            fill(database)
            measure(cli, folder, database)


def measure(cli: argparse.Namespace, folder: Path, database: Postgres) -> None:
    config = {
        "catalog": str(REPOSITORY / "catalog"),
        "sources": {"marts": {"url": database.url, "connections_max": cli.connections}},
        "cache": {"memory": "0B"},
    }
    with martello(cli.binary, folder, "client_pro", config) as server:
        url, token = server.url, server.token
        print(f"{SYMBOLS * SESSIONS:,} rows, {cli.connections} connections, {os.cpu_count()} cores, medians of {cli.rounds} rounds of {cli.seconds} s")
        print(f"{'case':6} {'pgbench/s':>10} {'martello/s':>10} {'ratio':>6}   {'pgbench/cpu-s':>13} {'martello/cpu-s':>14} {'ratio':>6}   server share of CPU")
        for name, case in ((name, CASES[name]) for name in cli.case or CASES):
            sql, lua = folder / f"{name}.sql", folder / f"{name}.lua"
            sql.write_text(case["sql"].format(columns=SHOWN))
            lua.write_text(case["lua"] + CHECK)
            limits, ours, limit_cpu, our_cpu, shares = [], [], [], [], []
            run_wrk(url, token, lua, 1, cli.connections)
            for _ in range(cli.rounds):
                before = cpu_seconds(database.pid)
                rate = run_pgbench(database, sql, cli.seconds, cli.connections)
                limits.append(rate)
                limit_cpu.append(rate * cli.seconds / (cpu_seconds(database.pid) - before))
                before_database, before_server = cpu_seconds(database.pid), cpu_seconds(server.pid)
                rate = run_wrk(url, token, lua, cli.seconds, cli.connections)
                of_server = cpu_seconds(server.pid) - before_server
                both = of_server + cpu_seconds(database.pid) - before_database
                ours.append(rate)
                our_cpu.append(rate * cli.seconds / both)
                shares.append(of_server / both)
            limit, our = statistics.median(limits), statistics.median(ours)
            limit_c, our_c = statistics.median(limit_cpu), statistics.median(our_cpu)
            print(f"{name:6} {limit:10,.0f} {our:10,.0f} {our / limit:6.2f}   {limit_c:13,.0f} {our_c:14,.0f} {our_c / limit_c:6.2f}   {statistics.median(shares):.0%}")


if __name__ == "__main__":
    main()
