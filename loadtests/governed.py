#!/usr/bin/env python3
"""What it costs on a hot hit that a caller is believed, granted, counted and recorded.

One page of 100 bars of a published dataset from memory, of the same server: to an anonymous caller who sees everything and is
not counted, and to a token of a role with hidden columns, a mask, a row rule that reads a claim, a history window and quotas
that all instances share by Redis; then with the audit written to a file besides. Prints requests per CPU-second of each, and
the ratio to the first. They are measured in turn.

    cargo build --release --bins
    target/tools/python/bin/python loadtests/governed.py [--seconds 5] [--repeat 3]
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from hot import QUOTAS, TARGET, get, rates
from servers import REPOSITORY, demo, martello, redis

AIM = 0.85
MATRIX = f"""
roles:
  - name: visitor
    tier: client
    anonymous: true
    rows_per_request: 1000
    datasets: {{price_daily: {{columns: all}}}}
  - name: free
    tier: client
    claims: {{plan: free}}
    rows_per_request: 1000
    datasets: {{price_daily: {{columns: all}}}}
  - name: governed
    tier: client
    claims: {{plan: governed}}
    rows_per_request: 1000
{QUOTAS}
    datasets:
      price_daily:
        columns: {{all_but: [source]}}
        mask: {{volume: {{round: -2}}}}
        rows: {{symbol: {{ne: $claims.plan}}}}
        history: 100y
"""


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
        catalog = folder / "catalog"
        shutil.copytree(REPOSITORY / "catalog", catalog)
        (catalog / "access.yaml").write_text(MATRIX)
        config = {
            "catalog": str(catalog),
            "sources": {"marts": {"url": f"sqlite:{folder / 'marts.sqlite'}"}},
            "control": {"url": f"sqlite:{folder / 'control.sqlite'}"},
        }
        demo(binary, folder, config)
        audit = {"audit": {"to": "file", "path": str(folder / "audit.jsonl")}}
        with (
            redis(folder) as (url, _),
            martello(binary, folder, "free", config) as bare,
            martello(binary, folder, "governed", config | {"redis": {"url": url}}) as governed,
            martello(binary, folder, "governed", config | {"redis": {"url": url}} | audit) as audited,
        ):
            cases = [
                ("nobody asked who it is", bare, None),
                ("a token is believed", bare, bare.token),
                ("believed, granted and counted", governed, governed.token),
                ("and recorded", audited, audited.token),
            ]
            found: list[list[float]] = [[] for _ in cases]
            for _ in range(cli.repeat):
                for place, (_, server, token) in enumerate(cases):
                    _, headers, _ = get(server.url + TARGET, token)
                    found[place].append(rates(server.url + TARGET, server.pid, token, None, cli.seconds)[1])
                    assert "RateLimit" in headers or server is bare, headers
            medians = [statistics.median(one) for one in found]
            print("| hot hit | requests/CPU-s | of the first |")
            print("|---|---|---|")
            for (name, _, _), median in zip(cases, medians, strict=True):
                aim = f" (aim {AIM})" if name.endswith("counted") else ""
                print(f"| {name} | {median:,.0f} | {median / medians[0]:.2f}{aim} |")


if __name__ == "__main__":
    main()
