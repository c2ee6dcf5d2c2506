"""Writes Parquet files for `martello load` into a folder: one that fits the contract of tests/it/load.rs, and ones that
do not, each for its own reason."""

import datetime
import sys
from decimal import Decimal
from pathlib import Path

import polars as pl

folder = Path(sys.argv[1])
ROWS = 20_000
UTC = datetime.UTC


def rows(count, first=1):
    ids = range(first, first + count)
    day = datetime.date(2020, 1, 1)
    return pl.DataFrame(
        {
            "id": pl.Series(list(ids), dtype=pl.Int64),
            "note": pl.Series([None if n % 7 == 0 else f"tab\tquote\"back\\slash\nline {n}" for n in ids], dtype=pl.String),
            "day": pl.Series([day + datetime.timedelta(days=n % 400) for n in ids], dtype=pl.Date),
            "seen": pl.Series(
                [datetime.datetime(2020, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=n) for n in ids],
                dtype=pl.Datetime("us", "UTC"),
            ),
            "price": pl.Series([Decimal(n) / 100 for n in ids], dtype=pl.Decimal(10, 2)),
            "ratio": pl.Series([n / 8 for n in ids], dtype=pl.Float64),
            "small": pl.Series([n % 100 for n in ids], dtype=pl.Int64),
            "good": pl.Series([n % 2 == 0 for n in ids], dtype=pl.Boolean),
            "tags": pl.Series([[f"a{n}", 'b"\\,{}'] for n in ids], dtype=pl.List(pl.String)),
            "doc": pl.Series(['{"b": 1.50, "a": [%d]}' % n for n in ids], dtype=pl.String),
            "more": pl.Series([0 for _ in ids], dtype=pl.Int8),
        }
    )


def spoilt(name, column, row, value):
    """All rows, but one value of the row (counted from 1) is another."""
    frame = rows(ROWS)
    values = frame[column].to_list()
    values[row - 1] = value
    save(name, frame.with_columns(pl.Series(column, values, dtype=frame.schema[column])))


def save(name, frame):
    frame.write_parquet(folder / f"{name}.parquet")


good = rows(ROWS)
save("good", good)
# Columns are found by name.
save("second", rows(3, first=ROWS + 1).select(sorted(good.columns)))
save("empty", good.head(0))
save("missing", good.drop("price"))
save("type", good.with_columns(pl.col("day").cast(pl.String)))
save("zone", good.with_columns(pl.col("seen").dt.replace_time_zone(None)))
spoilt("null", "day", 12_345, None)
spoilt("range", "small", 15_001, 2**40)
spoilt("digits", "price", 19_999, Decimal("99999999.99"))
save("scale", good.with_columns(pl.col("price").cast(pl.Decimal(12, 4)) + pl.Series([Decimal("0.0001")] * ROWS)))
spoilt("nul", "note", 17_000, "a\0b")
spoilt("json", "doc", 16_500, "{")
spoilt("twice", "id", 18_000, 5)
(folder / "text.parquet").write_text("not Parquet\n")
(folder / "cut.parquet").write_bytes((folder / "good.parquet").read_bytes()[:-1000])
