#!/usr/bin/env python3
"""Twenty profiles, each with its last 5 bars and its last 3 signals, in one GraphQL request on Postgres.

Against pgbench running the one statement that makes the same JSON, prepared, on as many connections; and against PostGraphile 5
on the same Postgres, where its folder is named (`npm install node@22 postgraphile@5` in it). Prints requests per second and per
CPU-second (of server and database together; of the database for pgbench), uncached (one and the same question, and each request
another) and hot. Measured in turn.

    cargo build --release --bins
    target/tools/python/bin/python loadtests/nested.py [--seconds 4] [--rounds 3] [--postgraphile FOLDER]
"""

import argparse
import contextlib
import datetime
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

from servers import REPOSITORY, Postgres, cpu_seconds, free_port, martello, postgres

CONNECTIONS = 16
OURS = """query ($symbols: [String!]!, $to: Date!) { company_profile(first: 20, where: {symbol: {in: $symbols}}, order_by: {field: symbol}) {
  nodes { symbol company_name
  prices(first: 5, where: {date: {lte: $to}}, order_by: {field: date, direction: DESC}) { date close }
  signals(first: 3, order_by: {field: active_from, direction: DESC}) { signal active_from direction } } } }"""
THEIRS = """{ allCompanyProfiles(first: 20, orderBy: SYMBOL_ASC) { nodes { symbol companyName
  prices(first: 5, orderBy: DATE_DESC) { nodes { date close } }
  signals(first: 3, orderBy: ACTIVE_FROM_DESC) { nodes { signal activeFrom direction } } } } }"""
BEST = """SELECT json_agg(json_build_object('symbol', p.symbol, 'company_name', p.company_name, 'prices', b.rows, 'signals', s.rows)
  ORDER BY p.symbol) FROM (SELECT symbol, company_name FROM company_profile
    WHERE symbol = ANY ({symbols}) ORDER BY symbol LIMIT 20) p
  LEFT JOIN LATERAL (SELECT json_agg(one) AS rows FROM (SELECT date, close::text FROM price_daily
    WHERE symbol = p.symbol AND date <= date '{first}' + cast(:day AS int) ORDER BY date DESC LIMIT 5) one) b ON true
  LEFT JOIN LATERAL (SELECT json_agg(one) AS rows FROM (SELECT signal, active_from, direction FROM signal
    WHERE symbol = p.symbol ORDER BY active_from DESC, signal DESC LIMIT 3) one) s ON true;"""
# A thousand companies of a thousand sessions each, with a bar and a signal for each session.
FILL = """
INSERT INTO company_profile (symbol, company_name, tier) SELECT 'S' || lpad(n::text, 4, '0'), 'Company ' || n, 'core'
  FROM generate_series(0, 999) n;
INSERT INTO price_daily SELECT 'S' || lpad((n / 1000)::text, 4, '0'), date '2011-01-03' + n % 1000, p, p + 1, p - 1, p, p, n, NULL, NULL, 'made'
  FROM (SELECT n, 50 + (n % 10007) / 100.0 AS p FROM generate_series(0, 999999) n) made;
INSERT INTO signal SELECT 'S' || lpad((n / 1000)::text, 4, '0'), date '2011-01-03' + n % 1000, 'rule_' || n % 7, n % 3 - 1, 0.5, 'short',
  n, 1, date '2011-01-13' + n % 1000, '{}' FROM generate_series(0, 999999) n;
VACUUM ANALYZE;
"""
# pgbench asks for twenty other companies each time, up to another day. So do we in a case of its own, where none is answered
# along with another one under way, and no plan is remembered; in the others all connections ask the same.
STARTS, FIRST, DAYS = 980, datetime.date(2011, 1, 8), 990
# So many different ones, more than any memory of plans holds.
BODIES = 100_000
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


def asked(url: str, document: str, token: str | None, variables: dict[str, object] | None = None) -> dict:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = {"query": document} | ({"variables": variables} if variables else {})
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url}: {error.read().decode()[:2000]}")


def variables() -> Iterator[dict[str, object]]:
    for one in range(BODIES):
        start, day = one * 7919 % STARTS, one * 104_729 % DAYS
        symbols = [f"S{symbol:04}" for symbol in range(start, start + 20)]
        yield {"symbols": symbols, "to": (FIRST + datetime.timedelta(days=day)).isoformat()}


def wrk(url: str, bodies: list[dict], token: str | None, seconds: int, folder: Path) -> int:
    """Requests that were answered with 200, each with one of the bodies at random."""
    written = folder / "bodies"
    written.write_text("\n".join(json.dumps(body) for body in bodies))
    lines = [
        "wrk.method = 'POST'; wrk.headers['Content-Type'] = 'application/json'",
        "local all = {}",
        f"for line in io.lines('{written}') do all[#all + 1] = line end",
        "request = function() return wrk.format(nil, nil, nil, all[math.random(#all)]) end",
    ]
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
    symbols = "ARRAY(SELECT 'S' || lpad(n::text, 4, '0') FROM generate_series(cast(:start AS int), cast(:start AS int) + 19) n)"
    best = BEST.replace("{symbols}", symbols).replace("{first}", FIRST.isoformat()).replace("\n", " ")
    script.write_text(f"\\set start random(0, {STARTS - 1})\n\\set day random(0, {DAYS - 1})\n{best}")
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
        database.psql(FILL)
        database.psql(KEYS)
        publishing = folder / "publishing.yaml"
        publishing.write_text(json.dumps(config | {"auth": {"hs256": "only for publishing, 32 bytes and more"}}))
        for name in ("company_profile", "price_daily", "signal"):
            publish = [cli.binary, "--config", publishing, "publish", "--relation", name, name]
            subprocess.run(publish, check=True, stdout=subprocess.DEVNULL)
        uncached = stack.enter_context(martello(cli.binary, folder, "internal_scientist", config | {"cache": {"memory": "0B"}}))
        hot = stack.enter_context(martello(cli.binary, folder, "internal_scientist", dict(config)))
        ours = [{"query": OURS, "variables": one} for one in variables()]
        cases: list[tuple[str, str | None, list[dict], str | None, list[int]]] = [
            ("Martello, uncached", f"{uncached.url}/graphql", ours[-1:], uncached.token, [uncached.pid, database.pid]),
            ("Martello, uncached, each another", f"{uncached.url}/graphql", ours, uncached.token, [uncached.pid, database.pid]),
            ("Martello, hot", f"{hot.url}/graphql", ours[-1:], hot.token, [hot.pid, database.pid]),
        ]
        told = asked(f"{uncached.url}/graphql", OURS, uncached.token, ours[-1]["variables"])
        assert "data" in told, told
        rows = told["data"]["company_profile"]["nodes"]
        assert len(rows) == 20 and all(len(row["prices"]) == 5 and len(row["signals"]) == 3 for row in rows), rows[:1]
        if cli.postgraphile:
            url, pid = stack.enter_context(postgraphile(cli.postgraphile, database))
            theirs = asked(url, THEIRS, None)
            nodes = theirs.get("data", {}).get("allCompanyProfiles", {}).get("nodes")
            assert nodes and len(nodes) == 20 and len(nodes[0]["prices"]["nodes"]) == 5, json.dumps(theirs)[:600]
            cases.append(("PostGraphile", url, [{"query": THEIRS}], None, [pid, database.pid]))
        cases.insert(0, ("pgbench, the one best statement", None, [], None, [database.pid]))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in cases}
        for _ in range(cli.rounds):
            for name, url, bodies, token, pids in cases:
                before = sum(map(cpu_seconds, pids))
                if url is None:
                    requests = pgbench(database, cli.seconds, folder)
                else:
                    requests = wrk(url, bodies, token, cli.seconds, folder)
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
