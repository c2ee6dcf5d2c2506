#!/usr/bin/env python3
"""What was answered before, against a bare axum server that returns the same prebuilt bytes.

A page of 100 bars of a published dataset from memory (the hot hit), the 304 of a client that has it, and the same page from
Redis (the bare server gets it from there, too), each with a token that is believed and quotas that count it; and nginx's proxy_cache, where nginx is
installed. Prints requests per second and per CPU-second of the server for both, and their ratios. The two are
measured in turn, so that a machine that slows down slows both.

    cargo build --release --bins --example bare
    target/tools/python/bin/python loadtests/hot.py [--seconds 5] [--repeat 3]
"""

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from servers import REPOSITORY, Server, cpu_seconds, demo, free_port, martello, redis, wait_until_ready

TARGET = "/v1/datasets/price_daily/rows?symbol=AAPL&limit=100"
ROLE = "internal_publisher"
AIM, AIM_SHARED = 0.75, 0.4
NGINX = """
{user} daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  proxy_cache_path {folder}/nginx levels=1:2 keys_zone=pages:10m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream}; proxy_cache pages; proxy_cache_key $request_uri$http_authorization; proxy_cache_valid 200 1h;
    }}
  }}
}}
"""
CONNECTIONS = 32
QUOTAS = """\
    requests_per_second: 1000000000
    requests_per_day: 1000000000000
    rows_per_day: 1000000000000000
    concurrent_requests: 100000
"""


@contextlib.contextmanager
def bare(binary: Path, body: Path, etag: str, content_type: str, *redis_url: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    server = subprocess.Popen([binary, str(port), body, etag, content_type, *redis_url])
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def fastapi(body: Path, content_type: str, token: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    command = [sys.executable, Path(__file__).with_name("peer.py"), str(port), body, content_type, TARGET, token]
    server = subprocess.Popen(command)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    # Workers of a server that root starts are somebody else, and the folder is not theirs.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder, port=port, upstream=upstream))
    server = subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "nginx.log"])
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait()


def get(url: str, token: str | None, etag: str | None = None) -> tuple[int, Message, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"If-None-Match": etag} if etag else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def rates(url: str, pid: int, token: str | None, etag: str | None, seconds: int) -> tuple[float, float]:
    """Requests per second, and per CPU-second of the server."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}"]
    command += ["-H", f"Authorization: Bearer {token}"] if token else []
    command += ["-H", f"If-None-Match: {etag}"] if etag else []
    before = cpu_seconds(pid)
    told = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(pid) - before
    # wrk takes 304 for no error.
    if "Non-2xx" in told or "Socket errors" in told:
        sys.exit(told)
    requests = int(re.search(r"(\d+) requests in", told)[1])
    return requests / seconds, requests / spent


def compare(
    name: str, ours: Server, theirs: tuple[str, int], etag: str | None, cli: argparse.Namespace, aim: float | None = AIM
) -> None:
    rounds: list[list[tuple[float, float]]] = [[], []]
    for _ in range(cli.repeat):
        rounds[0].append(rates(theirs[0] + TARGET, theirs[1], ours.token, etag, cli.seconds))
        rounds[1].append(rates(ours.url + TARGET, ours.pid, ours.token, etag, cli.seconds))
    limit, own = ([statistics.median(column) for column in zip(*side, strict=True)] for side in rounds)
    print(
        f"| {name} | {limit[0]:,.0f} | {own[0]:,.0f} | {own[0] / limit[0]:.2f} | {limit[1]:,.0f} | {own[1]:,.0f}"
        f" | {own[1] / limit[1]:.2f}{f' (aim {aim})' if aim else ''} |",
        flush=True,
    )


def limited(folder: Path) -> Path:
    """The catalog with quotas of which there is enough: every request is counted, and none is refused."""
    catalog = folder / "catalog"
    shutil.copytree(REPOSITORY / "catalog", catalog)
    matrix = (catalog / "access.yaml").read_text()
    role = f"  - name: {ROLE}\n"
    assert role in matrix
    (catalog / "access.yaml").write_text(matrix.replace(role, role + QUOTAS))
    return catalog


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--seconds", type=int, default=5)
    cli.add_argument("--repeat", type=int, default=3)
    cli.add_argument("--binaries", type=Path, default=REPOSITORY / "target/release")
    cli = cli.parse_args()
    if not shutil.which("wrk"):
        sys.exit("install wrk first (Debian: wrk)")
    binary = cli.binaries / "martello"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        config = {
            "catalog": str(limited(folder)),
            "sources": {"marts": {"url": f"sqlite:{folder / 'marts.sqlite'}"}},
            "control": {"url": f"sqlite:{folder / 'control.sqlite'}"},
        }
        demo(binary, folder, config)
        with martello(binary, folder, ROLE, config) as ours:
            status, headers, body = get(ours.url + TARGET, ours.token)
            assert status == 200, body
            (folder / "body").write_bytes(body)
            etag = headers["ETag"]
            assert get(ours.url + TARGET, ours.token, etag)[0] == 304
            assert get(ours.url + TARGET, ours.token)[1]["Cache-Status"] == "martello-l1; hit"
            print(f"{len(body):,} bytes, {CONNECTIONS} connections, medians of {cli.repeat} x {cli.seconds} s\n")
            print("| case | bare, /s | Martello, /s | ratio | bare, /CPU-s | Martello, /CPU-s | ratio |")
            print("|---|---|---|---|---|---|---|")
            example = cli.binaries / "examples/bare"
            with bare(example, folder / "body", etag, headers["Content-Type"]) as theirs:
                compare("hot hit", ours, theirs, None, cli)
                compare("304", ours, theirs, etag, cli)
                if shutil.which("nginx"):
                    with nginx(folder, theirs[0]) as peer:
                        as_server = Server(peer[0], ours.token, peer[1], "")
                        compare("nginx proxy_cache, hot hit", as_server, theirs, None, cli, None)
                if importlib.util.find_spec("fastapi"):
                    with fastapi(folder / "body", headers["Content-Type"], ours.token) as peer:
                        as_server = Server(peer[0], ours.token, peer[1], "")
                        compare("FastAPI with a dictionary, hot hit", as_server, theirs, None, cli, None)
        with (
            redis(folder) as (url, _),
            martello(binary, folder, ROLE, config | {"cache": {"memory": "0B"}, "redis": {"url": url}}) as ours,
            bare(cli.binaries / "examples/bare", folder / "body", etag, headers["Content-Type"], url) as theirs,
        ):
            get(ours.url + TARGET, ours.token)
            told = get(ours.url + TARGET, ours.token)[1]["Cache-Status"]
            assert told.startswith("martello-l2; hit"), told
            compare("hit in Redis", ours, theirs, None, cli, AIM_SHARED)


if __name__ == "__main__":
    main()
