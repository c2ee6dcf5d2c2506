#!/usr/bin/env python3
"""Twenty profiles, each with its last 5 bars and its last 3 signals, in one GraphQL request on Postgres.

Against pgbench running the one statement that makes the same JSON, prepared, on as many connections; and against PostGraphile 5
on the same Postgres, where its folder is named (`npm install node@22 postgraphile@5` in it). Prints requests per second and per
CPU-second (of server and database together; of the database for pgbench), uncached and hot. Measured in turn.

    cargo build --release --bins
    target/tools/python/bin/python loadtests/nested.py [--seconds 4] [--rounds 3] [--postgraphile FOLDER]
"""

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from servers import REPOSITORY, Postgres, cpu_seconds, demo, free_port, martello, postgres

CONNECTIONS = 16
OURS = """{ company_profile(first: 20, order_by: {field: symbol}) { nodes { symbol company_name
  prices(first: 5, order_by: {field: date, direction: DESC}) { date close }
  signals(first: 3, order_by: {field: active_from, direction: DESC}) { signal active_from direction } } } }"""
THEIRS = """{ allCompanyProfiles(first: 20, orderBy: SYMBOL_ASC) { nodes { symbol companyName
  prices(first: 5, orderBy: DATE_DESC) { nodes { date close } }
  signals(first: 3, orderBy: ACTIVE_FROM_DESC) { nodes { signal activeFrom direction } } } } }"""
BEST = """SELECT json_agg(json_build_object('symbol', p.symbol, 'company_name', p.company_name, 'prices', b.rows, 'signals', s.rows)
  ORDER BY p.symbol) FROM (SELECT symbol, company_name FROM company_profile ORDER BY symbol LIMIT 20) p
  LEFT JOIN LATERAL (SELECT json_agg(one) AS rows FROM (SELECT date, close::text FROM price_daily
    WHERE symbol = p.symbol ORDER BY date DESC LIMIT 5) one) b ON true
  LEFT JOIN LATERAL (SELECT json_agg(one) AS rows FROM (SELECT signal, active_from, direction FROM signal
    WHERE symbol = p.symbol ORDER BY active_from DESC, signal DESC LIMIT 3) one) s ON true;"""
KEYS = """COMMENT ON TABLE price_daily IS E'@foreignKey (symbol) references company_profile (symbol)|@foreignFieldName prices';
COMMENT ON TABLE signal IS E'@foreignKey (symbol) references company_profile (symbol)|@foreignFieldName signals';"""


@contextlib.contextmanager
def postgraphile(folder: Path, database: Postgres) -> Iterator[tuple[str, int]]:
    port = free_port()
    program = folder / "node_modules/.bin"
    command = [program / "node", folder / "node_modules/postgraphile/dist/cli-run.js", "-P", "postgraphile/presets/amber"]
    command += ["-c", database.url, "-s", "public", "-p", str(port), "-n", "127.0.0.1"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if asked(f"http://127.0.0.1:{port}/graphql", THEIRS, None):
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/graphql", server.pid
    finally:
        server.terminate()
        server.wait()


def asked(url: str, document: str, token: str | None) -> dict:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps({"query": document}).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url}: {error.read().decode()[:2000]}")


def wrk(url: str, document: str, token: str | None, seconds: int, folder: Path) -> int:
    """Requests that were answered with 200."""
    body = json.dumps(json.dumps({"query": document}))
    lines = [f"wrk.method = 'POST'; wrk.body = {body}", "wrk.headers['Content-Type'] = 'application/json'"]
    lines += [f"wrk.headers['Authorization'] = 'Bearer {token}'"] if token else []
    script = folder / "ask.lua"
    script.write_text("\n".join(lines))
    told = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "-s", script, url], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        sys.exit(told)
    return int(re.search(r"(\d+) requests in", told)[1])


def pgbench(database: Postgres, seconds: int, folder: Path) -> int:
    script = folder / "best.sql"
    script.write_text(BEST.replace("\n", " "))
    script.chmod(0o644)
    options = ["-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "1", "-T", str(seconds), "-f", str(script)]
    told = subprocess.run([*database.client("pgbench"), *options, "postgres"], check=True, capture_output=True, text=True)
    return int(re.search(r"transactions actually processed: (\d+)", told.stdout)[1])


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--seconds", type=int, default=4)
    cli.add_argument("--rounds", type=int, default=3)
    cli.add_argument("--postgraphile", type=Path)
    cli.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/martello")
    cli = cli.parse_args()
    if not shutil.which("wrk"):
        sys.exit("install wrk first (Debian: wrk)")
    with tempfile.TemporaryDirectory(prefix="martello-load-") as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        folder.chmod(0o711)
        database = stack.enter_context(postgres(folder / "postgres"))
        for file in sorted((REPOSITORY / "schema/postgres").glob("*.sql")):
            database.psql(file.read_text())
        config = {
            "catalog": str(REPOSITORY / "catalog"),
            "sources": {"marts": {"url": database.url, "connections_max": CONNECTIONS}},
            "control": {"url": f"sqlite:{folder / 'control.sqlite'}"},
        }
        demo(cli.binary, folder, config)
        database.psql(KEYS)
        database.psql("VACUUM ANALYZE;")
        uncached = stack.enter_context(martello(cli.binary, folder, "internal_scientist", config | {"cache": {"memory": "0B"}}))
        hot = stack.enter_context(martello(cli.binary, folder, "internal_scientist", dict(config)))
        cases: list[tuple[str, str | None, str, str | None, list[int]]] = [
            ("Martello, uncached", f"{uncached.url}/graphql", OURS, uncached.token, [uncached.pid, database.pid]),
            ("Martello, hot", f"{hot.url}/graphql", OURS, hot.token, [hot.pid, database.pid]),
        ]
        rows = asked(f"{uncached.url}/graphql", OURS, uncached.token)["data"]["company_profile"]["nodes"]
        assert len(rows) == 20 and len(rows[0]["prices"]) == 5, rows[:1]
        if cli.postgraphile:
            url, pid = stack.enter_context(postgraphile(cli.postgraphile, database))
            theirs = asked(url, THEIRS, None)
            nodes = theirs.get("data", {}).get("allCompanyProfiles", {}).get("nodes")
            assert nodes and len(nodes) == 20 and len(nodes[0]["prices"]["nodes"]) == 5, json.dumps(theirs)[:600]
            cases.append(("PostGraphile", url, THEIRS, None, [pid, database.pid]))
        cases.insert(0, ("pgbench, the one best statement", None, BEST, None, [database.pid]))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in cases}
        for _ in range(cli.rounds):
            for name, url, document, token, pids in cases:
                before = sum(map(cpu_seconds, pids))
                if url is None:
                    requests = pgbench(database, cli.seconds, folder)
                else:
                    requests = wrk(url, document, token, cli.seconds, folder)
                spent = sum(map(cpu_seconds, pids)) - before
                found[name].append((requests / cli.seconds, requests / max(spent, 0.01)))
        first = None
        print("| 20 profiles x 5 bars x 3 signals | requests/s | of pgbench's | requests/CPU-s | of pgbench's |\n|---|---|---|---|---|")
        for name, rounds in found.items():
            rate, spent = (statistics.median(column) for column in zip(*rounds, strict=True))
            first = first or (rate, spent)
            print(f"| {name} | {rate:,.0f} | {rate / first[0]:.2f} | {spent:,.0f} | {spent / first[1]:.2f} |")


if __name__ == "__main__":
    main()
