#!/usr/bin/env python3
"""Fault drills: each breaks something under a published dataset and prints what was lost, which is to be nothing.

    cargo build --release && target/tools/python/bin/python loadtests/drills.py

- the source is out: answers that are kept and their 304 go on, others are 503 with Retry-After, and it is back within 5 s
- Redis is a black hole, then dead: no request fails, and the 99th percentile stays within 10 times what it was plus 250 ms
- a cold start without Redis: 500 who ask the same at once are one statement
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from servers import REPOSITORY, Postgres, Server, demo, martello, postgres, redis

ROWS = "/v1/datasets/price_daily/rows"
ROLE = "internal_publisher"
PROBES = 400
FLOCK = 500
BACK_SECONDS = 5


def fill(binary: Path, folder: Path, database: Postgres, config: dict) -> None:
    """The demo's marts in Postgres, with one version of the prices."""
    for file in sorted((REPOSITORY / "schema/postgres").glob("*.sql")):
        database.psql(file.read_text())
    demo(binary, folder, config)


def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}, timeout=30)


def statements(server: Server) -> int:
    lines = httpx.get(f"{server.admin}/metrics").text.splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith("martello_source_seconds_count"))


def told(drill: str, asked: int, lost: list[str], more: str = "") -> bool:
    print(f"| {drill} | {asked} | {len(lost)} | {more} |", flush=True)
    for line in lost[:5]:
        print(f"    {line}", file=sys.stderr)
    return not lost


def source_out(server: Server, database: Postgres) -> bool:
    lost, asked = [], 0
    with client(server) as ask:
        kept = ask.get(f"{ROWS}?limit=50")
        etag = kept.headers["etag"]
        # Postgres ends at once, and is started again by the same hand.
        status = subprocess.run(
            ["ps", "-o", "args=", "-p", str(database.pid)], check=True, capture_output=True, text=True
        ).stdout.split()
        os.kill(database.pid, signal.SIGQUIT)
        time.sleep(0.5)
        for place in range(PROBES):
            for expected, answer in (
                (200, ask.get(f"{ROWS}?limit=50")),
                (304, ask.get(f"{ROWS}?limit=50", headers={"If-None-Match": etag})),
                (503, ask.get(f"{ROWS}?limit={place % 40 + 51}")),
            ):
                asked += 1
                if answer.status_code != expected or (expected == 503 and "retry-after" not in answer.headers):
                    lost.append(f"{answer.status_code} for {expected}: {answer.text[:120]}")
        as_server = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        # Whoever started the first one stops this one, by the same file.
        subprocess.Popen([*as_server, *status], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        while ask.get(f"{ROWS}?limit=99").status_code != 200:
            if time.monotonic() - begun > 30:
                break
            time.sleep(0.05)
        took = time.monotonic() - begun
        if took > BACK_SECONDS:
            lost.append(f"back after {took:.1f} s")
        asked += 1
    return told("source out", asked, lost, f"back {took:.2f} s after it began to start")


def probed(ask: httpx.Client, first: int, lost: list[str]) -> float:
    """The 99th percentile of questions that were not asked before, in seconds."""
    times = []
    for place in range(PROBES):
        begun = time.monotonic()
        answer = ask.get(f"{ROWS}?limit={place % 100 + 1}&close.gte={first + place}")
        times.append(time.monotonic() - begun)
        if answer.status_code != 200:
            lost.append(f"{answer.status_code}: {answer.text[:120]}")
    return statistics.quantiles(times, n=100)[98]


def redis_out(server: Server, pid: int) -> bool:
    lost: list[str] = []
    with client(server) as ask:
        before = probed(ask, 0, lost)
        os.kill(pid, signal.SIGSTOP)
        hole = probed(ask, 1000, lost)
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        dead = probed(ask, 2000, lost)
    for name, after in (("black hole", hole), ("dead", dead)):
        if after > before * 10 + 0.25:
            lost.append(f"{name}: p99 {after * 1000:.1f} ms, was {before * 1000:.1f} ms")
    more = f"p99 {before * 1000:.1f} ms, {hole * 1000:.1f} ms in the hole, {dead * 1000:.1f} ms without it"
    return told("Redis a black hole, then dead", 3 * PROBES, lost, more)


async def flock(server: Server) -> list[int]:
    limits = httpx.Limits(max_connections=FLOCK)
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30, limits=limits) as ask:
        answers = await asyncio.gather(*(ask.get(f"{ROWS}?limit=500") for _ in range(FLOCK)))
    return [answer.status_code for answer in answers]


def cold_start(server: Server) -> bool:
    before = statements(server)
    answered = asyncio.run(flock(server))
    lost = [str(status) for status in answered if status != 200]
    run = statements(server) - before
    if run != 1:
        lost.append(f"{run} statements")
    return told("cold start without Redis", FLOCK, lost, f"{run} statement")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--binary", type=Path, default=REPOSITORY / "target/release/martello")
    cli = cli.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with postgres(folder / "postgres") as database:
            config = {
                "catalog": str(REPOSITORY / "catalog"),
                "sources": {"marts": {"url": database.url}},
                "control": {"url": f"sqlite:{folder / 'control.sqlite'}"},
                # What is broken on purpose is told of below.
                "log": {"level": "off"},
            }
            fill(cli.binary, folder, database, config)
            print("| drill | requests | lost | |")
            print("|---|---|---|---|")
            nowhere = {"redis": {"url": "redis://127.0.0.1:1"}}
            with martello(cli.binary, folder, ROLE, config | nowhere) as server:
                whole = cold_start(server)
            with redis(folder) as (url, pid), martello(cli.binary, folder, ROLE, config | {"redis": {"url": url}}) as server:
                whole &= redis_out(server, pid)
            with martello(cli.binary, folder, ROLE, config) as server:
                whole &= source_out(server, database)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
