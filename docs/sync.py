"""Keeps a copy of a dataset: a snapshot at first, then what changes from version to version.

    MARTELLO_TOKEN=… python sync.py https://api.example price_daily copy

Nothing but Python's own library. The copy is `copy/rows.sqlite`: a row for each key, as JSON, and the version it is of.
"""

import hashlib
import json
import os
import sqlite3
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PIECE = 1 << 20


def ask(url: str, token: str | None = None, **headers: str):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)


class Copy:
    def __init__(self, api: str, dataset: str, folder: Path, token: str) -> None:
        self.api, self.dataset, self.folder, self.token = api.rstrip("/"), dataset, folder, token
        folder.mkdir(parents=True, exist_ok=True)
        self.base = sqlite3.connect(folder / "rows.sqlite")
        self.base.execute("CREATE TABLE IF NOT EXISTS row (key TEXT PRIMARY KEY, row TEXT NOT NULL)")
        self.base.execute("CREATE TABLE IF NOT EXISTS state (version INTEGER NOT NULL)")
        self.key = self.get(f"/v1/datasets/{dataset}")["data"]["primary_key"]

    def get(self, path: str) -> dict:
        with ask(self.api + path, self.token, Accept="application/json") as answer:
            return json.load(answer)

    def key_of(self, row: dict) -> str:
        return json.dumps([row[column] for column in self.key])

    def fetch(self, file: dict) -> Path:
        """A whole file, its hash compared. What is there of it already is not fetched again."""
        whole = self.folder / file["sha256"]
        part = whole.with_suffix(".part")
        asset = self.get(file["href"])["data"]
        link = urllib.parse.urljoin(self.api, asset["url"])
        begun = part.stat().st_size if part.exists() else 0
        if begun < asset["bytes"]:
            # If the file were another one, all of it would come, and not the rest of this one.
            resume = {"Range": f"bytes={begun}-", "If-Range": f'"{file["sha256"]}"'} if begun else {}
            with ask(link, **resume) as answer, part.open("ab" if answer.status == 206 else "wb") as out:
                print(f"{file['sha256'][:8]}: {'resumed at ' + str(begun) if answer.status == 206 else 'from its beginning'}")
                while piece := answer.read(PIECE):
                    out.write(piece)
        with part.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file["sha256"]:
                part.unlink()
                raise SystemExit(f"{link.split('?')[0]} is not what it says: try again")
        return part.rename(whole)

    def begin(self) -> int:
        """All rows of the newest snapshot."""
        snapshots = self.get(f"/v1/datasets/{self.dataset}/snapshots")["data"]
        snapshot = next((one for one in snapshots if one["format"] == "ndjson" and one["since"] is None), None)
        if snapshot is None:
            raise SystemExit("there is no snapshot: martello export DATASET --format ndjson makes one")
        files = [self.fetch(file) for file in snapshot["files"]]
        with self.base:
            self.base.execute("DELETE FROM row")
            for file in files:
                with file.open() as lines:
                    rows = ((self.key_of(json.loads(line)), line.rstrip("\n")) for line in lines)
                    self.base.executemany("INSERT INTO row VALUES (?, ?)", rows)
            self.at(snapshot["version"])
        for file in files:
            file.unlink()
        return snapshot["version"]

    def go_on(self, version: int) -> int:
        """What has changed since a version, all of it or nothing."""
        changes = f"{self.api}/v1/datasets/{self.dataset}/changes?from={version}&format=ndjson"
        with ask(changes, self.token) as answer, self.base:
            reached = int(answer.headers["Martello-Dataset-Version"].split(";")[0])
            for line in answer:
                row = json.loads(line)
                change = row.pop("_change")
                if change == "delete":
                    self.base.execute("DELETE FROM row WHERE key = ?", [self.key_of(row)])
                else:
                    self.base.execute("REPLACE INTO row VALUES (?, ?)", [self.key_of(row), json.dumps(row)])
            self.at(reached)
        return reached

    def at(self, version: int) -> None:
        self.base.execute("DELETE FROM state")
        self.base.execute("INSERT INTO state VALUES (?)", [version])

    def sync(self) -> None:
        known = self.base.execute("SELECT version FROM state").fetchone()
        try:
            version = self.go_on(known[0] if known else self.begin())
        except urllib.error.HTTPError as error:
            # The version is not kept any more, so that nothing can be compared with it.
            if error.code != 410:
                raise
            version = self.go_on(self.begin())
        rows = self.base.execute("SELECT count(*) FROM row").fetchone()[0]
        print(f"{self.dataset} is at version {version}: {rows} rows")


if __name__ == "__main__":
    api, dataset, folder = sys.argv[1:]
    Copy(api, dataset, Path(folder), os.environ["MARTELLO_TOKEN"]).sync()
