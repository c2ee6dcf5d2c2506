"""Reads a dataset in every format from every server, with polars, pandas and pyarrow: frames.py DATASET SERVERS, where
SERVERS is a JSON list of [name, URL, token]. All frames must be equal and of the contract's types.

Prints as JSON how many rows each frame has, and how many frames there were.
"""

import io
import json
import re
import sys
from collections.abc import Callable
from decimal import Decimal

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet

ARROW = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "list<string>": pa.list_(pa.string()),
}
FORMATS = ("arrow", "parquet", "json", "ndjson", "csv")


def arrow_type(kind: str) -> pa.DataType:
    decimal = re.fullmatch(r"decimal\((\d+),(\d+)\)", kind)
    return pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else ARROW[kind]


def polars_type(kind: pa.DataType) -> pl.DataType:
    return pl.from_arrow(pa.array([], kind)).dtype


def pandas_types(schema: pa.Schema) -> dict[str, pd.ArrowDtype]:
    return {field.name: pd.ArrowDtype(field.type) for field in schema}


def polars_types(schema: pa.Schema) -> dict[str, pl.DataType]:
    return {field.name: polars_type(field.type) for field in schema}


def replaced(schema: pa.Schema, is_text: Callable[[pa.DataType], bool]) -> pa.Schema:
    """The schema with texts in the place of some types."""
    return pa.schema([field.with_type(pa.string()) if is_text(field.type) else field for field in schema])


# --- CSV ----------------------------------------------------------------------------------------------------------
# A CSV says nothing of types, so each reader is given the schema. No reader knows lists: they are JSON inside.


def lists(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_list(field.type)]


def csv_polars(body: bytes, schema: pa.Schema) -> pl.DataFrame:
    frame = pl.read_csv(body, schema=polars_types(replaced(schema, pa.types.is_list)))
    return frame.with_columns(pl.col(name).str.json_decode(pl.List(pl.String)) for name in lists(schema))


def csv_pandas(body: bytes, schema: pa.Schema) -> pd.DataFrame:
    texts = pd.read_csv(io.BytesIO(body), dtype=pd.ArrowDtype(pa.string()), keep_default_na=False, na_values=[""])
    for name in lists(schema):
        texts[name] = texts[name].map(json.loads, na_action="ignore")
    return texts.astype(pandas_types(schema))


def csv_pyarrow(body: bytes, schema: pa.Schema) -> pa.Table:
    flat = replaced(schema, pa.types.is_list)
    # An empty field is null, an empty text has quotes.
    convert = pa.csv.ConvertOptions(
        column_types=flat, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    table = pa.csv.read_csv(io.BytesIO(body), parse_options=parse, convert_options=convert)
    for name in lists(schema):
        items = [text and json.loads(text) for text in table[name].to_pylist()]
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, pa.array(items, schema.field(name).type))
    return table


# --- NDJSON -------------------------------------------------------------------------------------------------------
# As JSON numbers, int64 and decimals would become doubles in most readers. As texts they keep their digits.


def is_written_as_text(kind: pa.DataType) -> bool:
    return pa.types.is_int64(kind) or pa.types.is_decimal(kind) or pa.types.is_date(kind)


def ndjson_polars(body: bytes, schema: pa.Schema) -> pl.DataFrame:
    types = polars_types(schema)
    given = polars_types(replaced(schema, lambda kind: is_written_as_text(kind) and not pa.types.is_date(kind)))
    return pl.read_ndjson(body, schema=given).cast(types)


def ndjson_pandas(body: bytes, schema: pa.Schema) -> pd.DataFrame:
    frame = pd.read_json(io.BytesIO(body), lines=True, engine="pyarrow", dtype_backend="pyarrow")
    return frame.astype(pandas_types(schema))


def ndjson_pyarrow(body: bytes, schema: pa.Schema) -> pa.Table:
    options = pa.json.ParseOptions(explicit_schema=replaced(schema, is_written_as_text))
    return pa.json.read_json(io.BytesIO(body), parse_options=options).cast(schema)


# --- JSON ---------------------------------------------------------------------------------------------------------
# Python's own reader can leave every number as it was written.


def columns(body: bytes, schema: pa.Schema) -> dict[str, list]:
    rows = json.loads(body, parse_float=str, parse_int=str)["data"]
    return {name: [row[name] for row in rows] for name in schema.names}


def written(schema: pa.Schema) -> pa.Schema:
    return replaced(schema, lambda kind: not (pa.types.is_boolean(kind) or pa.types.is_list(kind)))


def json_polars(body: bytes, schema: pa.Schema) -> pl.DataFrame:
    frame = pl.DataFrame(columns(body, schema), schema=polars_types(written(schema)))
    days = [pl.col(field.name).str.to_date() for field in schema if pa.types.is_date(field.type)]
    instants = [pl.col(field.name) for field in schema if pa.types.is_timestamp(field.type)]
    instants = [text.str.to_datetime(time_unit="us", time_zone="UTC") for text in instants]
    return frame.with_columns(days + instants).cast(polars_types(schema))


def json_pandas(body: bytes, schema: pa.Schema) -> pd.DataFrame:
    types = pandas_types(written(schema))
    read = {name: pd.array(values, dtype=types[name]) for name, values in columns(body, schema).items()}
    return pd.DataFrame(read).astype(pandas_types(schema))


def json_pyarrow(body: bytes, schema: pa.Schema) -> pa.Table:
    return pa.table(columns(body, schema), schema=written(schema)).cast(schema)


# --- Arrow and Parquet --------------------------------------------------------------------------------------------
# They bring their types with them.


def arrow_pandas(body: bytes, _: pa.Schema) -> pd.DataFrame:
    return pa.ipc.open_stream(body).read_pandas(types_mapper=pd.ArrowDtype)


READERS = {
    "csv": (csv_polars, csv_pandas, csv_pyarrow),
    "ndjson": (ndjson_polars, ndjson_pandas, ndjson_pyarrow),
    "json": (json_polars, json_pandas, json_pyarrow),
    "arrow": (
        lambda body, _: pl.read_ipc_stream(body),
        arrow_pandas,
        lambda body, _: pa.ipc.open_stream(body).read_all(),
    ),
    "parquet": (
        lambda body, _: pl.read_parquet(body),
        lambda body, _: pd.read_parquet(io.BytesIO(body), dtype_backend="pyarrow"),
        lambda body, _: pa.parquet.read_table(io.BytesIO(body)),
    ),
}
LIBRARIES = ("polars", "pandas", "pyarrow")


# --- Checks -------------------------------------------------------------------------------------------------------


def plain(kind: pa.DataType) -> pa.DataType:
    """Of a list, what its elements are called and whether they may be null is left out."""
    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def check_types(frame: pl.DataFrame | pd.DataFrame | pa.Table, schema: pa.Schema) -> None:
    match frame:
        case pl.DataFrame():
            found, expected = dict(frame.schema), polars_types(schema)
        case pd.DataFrame():
            found = {name: plain(dtype.pyarrow_dtype) for name, dtype in frame.dtypes.items()}
            expected = {field.name: field.type for field in schema}
        case _:
            found = {field.name: plain(field.type) for field in frame.schema}
            expected = {field.name: field.type for field in schema}
    wrong = {name: (found.get(name), kind) for name, kind in expected.items() if found.get(name) != kind}
    assert list(found) == list(expected) and not wrong, f"columns {list(found)}, of another type {wrong}"


def as_table(frame: pl.DataFrame | pd.DataFrame | pa.Table, schema: pa.Schema) -> pa.Table:
    match frame:
        case pl.DataFrame():
            return frame.to_arrow().cast(schema)
        case pd.DataFrame():
            return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        case _:
            return frame.cast(schema)


def without_empty_texts(table: pa.Table) -> pa.Table:
    """What pandas makes of a CSV: to it an empty text is a missing one."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = [text or None for text in table[index].to_pylist()]
            table = table.set_column(index, field, pa.array(texts, field.type))
    return table


def check_equal(found: pa.Table, expected: pa.Table, where: str) -> None:
    assert found.num_rows == expected.num_rows, f"{where}: {found.num_rows} rows instead of {expected.num_rows}"
    for name in expected.column_names:
        pairs = zip(found[name].to_pylist(), expected[name].to_pylist(), strict=True)
        wrong = [(row, got, wanted) for row, (got, wanted) in enumerate(pairs) if got != wanted]
        assert not wrong, f"{where}: {name}: (row, found, expected) {wrong[:5]}"


class Dataset:
    """A dataset of one server."""

    def __init__(self, client: httpx.Client, name: str):
        self.client, self.path = client, f"/v1/datasets/{name}"
        columns = json.loads(self.fetched(""))["data"]["columns"]
        self.schema = pa.schema([(column["name"], arrow_type(column["type"])) for column in columns])
        self.nullable = [column["nullable"] for column in columns]
        self.documents = [column["name"] for column in columns if column["type"] == "json"]

    def fetched(self, path: str, **parameters: str) -> bytes:
        answer = self.client.get(self.path + path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.content

    def rows(self, form: str, columns: list[str], **parameters: str) -> bytes:
        return self.fetched("/rows", limit="10000", format=form, select=",".join(columns), **parameters)

    def check_documents(self, form: str, expected: pa.Table) -> None:
        """In JSON a document is a value among others, of any type, which no column of a frame can have."""
        # The key holds a row together where no column is a document.
        body = self.rows(form, [self.schema.names[0], *self.documents]).decode()
        read = json.JSONDecoder(parse_float=Decimal).decode
        rows = [read(line) for line in body.split("\n")[:-1]] if form == "ndjson" else read(body)["data"]
        for name in self.documents:
            texts = expected[name].to_pylist()
            wanted = [None if text is None else read(text) for text in texts]
            assert [row[name] for row in rows] == wanted, f"{form}: {name}"

    def check(self, form: str, expected: pa.Table | None) -> pa.Table:
        """Reads a format with every library. Answers with the first frame, to which others are compared."""
        names, numbers = self.schema.names, {"numbers": "string"} if form == "ndjson" else {}
        if form in ("json", "ndjson"):
            self.check_documents(form, expected)
            names = [name for name in names if name not in self.documents]
        schema = pa.schema([self.schema.field(name) for name in names])
        body = self.rows(form, names, **numbers)
        for library, reader in zip(LIBRARIES, READERS[form], strict=True):
            frame = reader(body, schema)
            check_types(frame, schema)
            table = as_table(frame, schema)
            if library == "pyarrow" and form in ("arrow", "parquet"):
                assert [field.nullable for field in frame.schema] == self.nullable, frame.schema
            if expected is None:
                expected = table
            wanted = expected.select(names)
            is_csv_of_pandas = (form, library) == ("csv", "pandas")
            check_equal(table, without_empty_texts(wanted) if is_csv_of_pandas else wanted, f"{form} in {library}")
        return expected


def main() -> None:
    name, servers = sys.argv[1], json.loads(sys.argv[2])
    expected, frames = None, 0
    for server, url, token in servers:
        print(f"reading {name} of {server}", file=sys.stderr)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            dataset = Dataset(client, name)
            for form in FORMATS:
                expected = dataset.check(form, expected)
                frames += len(LIBRARIES)
    print(json.dumps({"rows": expected.num_rows, "frames": frames}))


if __name__ == "__main__":
    main()
