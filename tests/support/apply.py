"""Runs SQL files against a ClickHouse, statement by statement, as its command-line client would.

    python tests/support/apply.py http://127.0.0.1:8123/?database=marts schema/clickhouse/*.sql
"""

import pathlib
import re
import sys
import urllib.error
import urllib.request

# A statement ends with a semicolon at the end of a line. Lines of comment alone are no statement.
END = re.compile(r";[ \t]*$", re.MULTILINE)
COMMENT = re.compile(r"^[ \t]*--.*$", re.MULTILINE)


def statements(text: str) -> list[str]:
    """The statements of a file."""
    return [part.strip() for part in END.split(text) if COMMENT.sub("", part).strip()]


def main() -> None:
    """Stops at the first statement that is refused, and says which."""
    url, *files = sys.argv[1:]
    for file in files:
        for statement in statements(pathlib.Path(file).read_text(encoding="utf-8")):
            try:
                urllib.request.urlopen(url, statement.encode()).read()
            except urllib.error.HTTPError as refusal:
                sys.exit(f"{file}: {refusal.read().decode()}\n{statement}")


if __name__ == "__main__":
    main()
