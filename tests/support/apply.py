"""Runs SQL files against a ClickHouse, statement by statement, as its command-line client would; or one statement.

    python tests/support/apply.py clickhouse://default@127.0.0.1:8123/marts schema/clickhouse/*.sql
    python tests/support/apply.py clickhouse://default@127.0.0.1:8123/marts --query 'SELECT 1'
"""

import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

# A statement ends with a semicolon at the end of a line. Lines of comment alone are no statement.
END = re.compile(r";[ \t]*$", re.MULTILINE)
COMMENT = re.compile(r"^[ \t]*--.*$", re.MULTILINE)


def statements(text: str) -> list[str]:
    """The statements of a file."""
    return [part.strip() for part in END.split(text) if COMMENT.sub("", part).strip()]


def run(url: str, statement: str) -> str:
    """What the server answers."""
    place = urllib.parse.urlsplit(url)
    database = urllib.parse.quote(place.path.lstrip("/"))
    request = urllib.request.Request(f"http://{place.hostname}:{place.port}/?database={database}", statement.encode())
    request.add_header("X-ClickHouse-User", urllib.parse.unquote(place.username or "default"))
    request.add_header("X-ClickHouse-Key", urllib.parse.unquote(place.password or ""))
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{refusal.read().decode()}\n{statement}")


def main() -> None:
    """Stops at the first statement that is refused, and says which."""
    url, *files = sys.argv[1:]
    if files[0] == "--query":
        sys.stdout.write(run(url, files[1]))
        return
    for file in files:
        for statement in statements(pathlib.Path(file).read_text(encoding="utf-8")):
            run(url, statement)


if __name__ == "__main__":
    main()
