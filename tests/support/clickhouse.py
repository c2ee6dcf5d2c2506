"""A ClickHouse for the tests: the engine itself, embedded by chdb, behind the part of the server's HTTP interface that
Martello and its tests use.

    python tests/support/clickhouse.py --port 0 --path DIR --user default:: --user reader:secret:2

The first line of its output ends in its URL. Every request has a session of its own, so results, settings, limits and
errors are the engine's. Missing are sessions that outlive a request, roles, quotas, the query log, TLS, and replicas.
"""

import argparse
import base64
import contextlib
import itertools
import json
import os
import re
import select
import signal
import socket
import struct
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import lz4.block
import lz4.frame
from chdb.session import Session

# Where the embedded engine's defaults are not the server's.
SERVER_SETTINGS = {
    "allow_introspection_functions": "0",
    "implicit_select": "0",
    "materialize_statistics_on_insert": "1",
    "output_format_arrow_use_native_writer": "1",
}
# Arguments that speak to the front. Others are settings or, as param_NAME, parameters.
ARGUMENTS = frozenset(
    "buffer_size client_protocol_version compress database decompress default_format password query query_id quota_key "
    "role session_check session_id session_timeout user wait_end_of_query".split()
)
# The engine gives these in pieces that are one document when joined; the pieces of others would each have a head.
STREAMED = frozenset("arrowstream csv jsoncompacteachrow jsoneachrow native rowbinary tabseparated tsv".split())
# The statuses that the server gives its errors; other errors have 500.
STATUSES = {
    400: "BAD_ARGUMENTS CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_ESCAPE_SEQUENCE CANNOT_PARSE_NUMBER "
    "CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_TEXT CANNOT_PARSE_UUID ILLEGAL_COLUMN "
    "INCORRECT_DATA SYNTAX_ERROR TOO_BIG_AST TOO_DEEP_AST TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    403: "ACCESS_DENIED AUTHENTICATION_FAILED UNKNOWN_USER WRONG_PASSWORD",
    404: "UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_DATABASE UNKNOWN_FORMAT UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_ROLE "
    "UNKNOWN_SETTING UNKNOWN_STORAGE UNKNOWN_TABLE UNKNOWN_TYPE",
    408: "TIMEOUT_EXCEEDED",
    413: "QUERY_IS_TOO_LARGE",
    501: "NOT_IMPLEMENTED",
    503: "CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK SOCKET_TIMEOUT",
}
STATUS_OF = {name: status for status, names in STATUSES.items() for name in names.split()}
FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^;]*)?;?\s*$", re.I)
SELECT = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.I)
KILL = re.compile(r"\s*KILL\s+QUERY\b", re.I)
# An insert whose rows follow the statement; those of VALUES are a part of it.
INSERT = re.compile(rb"(\s*INSERT\s+INTO\b[^;]*?)\bFORMAT\s+(?!Values\b)(\w+)[ \t;]*(?:\n|\r\n|\s*$|(?<=[ \t]))", re.I)
# A statement that has not named its format by then is none of those.
INSERT_HEAD_BYTES_MAX = 1 << 16
PIECE_BYTES = 1 << 20
CLIENT_CHECK_SECONDS = 0.1
# The engine makes up ids of its own, so a client's travels as the first word of a setting that system.processes shows.
QUERY_ID = "splitByChar(' ', Settings['log_comment'])[1]"
ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"


class Refused(Exception):
    """An error of this front, worded as the engine words its own."""

    def __init__(self, code: int, name: str, what: str):
        super().__init__(f"Code: {code}. DB::Exception: {what}. ({name})")


class User(NamedTuple):
    password: str
    # As the setting of that name: 0 may write, 1 may read, 2 may also change other settings.
    readonly: int


class Engine:
    """The embedded engine over a folder."""

    def __init__(self, path: str):
        self.path = path
        # Held, so that the engine stays up between requests.
        self.root = Session(path)
        self.version, self.timezone = self.root.query("SELECT version(), timezone()", "TSV").data().split()

    def session(self, database: str, query_id: str, settings: dict[str, str], readonly: int) -> Session:
        comment = f"{query_id} {settings.pop('log_comment', '')}"
        steps = [assigned(SERVER_SETTINGS | {"log_comment": comment}), f"USE {quoted(database, '`')}"]
        # A user with readonly=2 may set what is asked for; one with 1 must be refused it.
        wanted, limit = [assigned(settings)] * bool(settings), [f"SET readonly={readonly}"] * bool(readonly)
        steps += limit + wanted if readonly == 1 else wanted + limit
        with contextlib.ExitStack() as undo:
            session = undo.enter_context(Session(self.path))
            session.query("; ".join(steps))
            undo.pop_all()
            return session

    def kill(self, query_id: str) -> None:
        with Session(self.path) as session:
            session.query(f"KILL QUERY WHERE {QUERY_ID} = {quoted(query_id)}")


def quoted(text: str, mark: str = "'") -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def assigned(settings: dict[str, str]) -> str:
    return "SET " + ", ".join(f"{name}={quoted(value)}" for name, value in settings.items())


def received(headers, source) -> Iterator[bytes]:
    """The body of a request, as it comes."""
    if headers.get("Transfer-Encoding") == "chunked":
        while piece := source.read(int(source.readline(), 16) + 2)[:-2]:
            yield piece
    left = int(headers.get("Content-Length") or 0)
    while left and (piece := source.read(min(left, PIECE_BYTES))):
        left -= len(piece)
        yield piece


def decoded(pieces: Iterator[bytes], encoding: str | None) -> Iterator[bytes]:
    match encoding:
        case None:
            return pieces
        case "gzip":
            return map(zlib.decompressobj(wbits=31).decompress, pieces)
        case "lz4":
            return map(lz4.frame.LZ4FrameDecompressor().decompress, pieces)
    raise Refused(36, "BAD_ARGUMENTS", f"Unknown compression method: {encoding}")


def unblocked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """ClickHouse's own blocks, which `decompress=1` announces: a checksum of 16 bytes, the method, the packed size with
    what stands before the data, the size, the data."""
    held = b""
    for piece in pieces:
        held += piece
        while len(held) >= 25 and len(held) >= (end := 16 + struct.unpack_from("<I", held, 17)[0]):
            method, _, size = struct.unpack_from("<BII", held, 16)
            data, held = held[25:end], held[end:]
            yield lz4.block.decompress(data, size) if method == 0x82 else data


def form_fields(body: bytes, content_type: str) -> dict[str, str]:
    boundary = re.search(r'boundary="?([^";]+)', content_type)[1].encode()
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        fields[re.search(rb'name="([^"]*)"', head)[1].decode()] = value.decode()
    return fields


def one_arrow_stream(streams: Iterator[bytes]) -> Iterator[bytes]:
    """Each piece of the engine's is a whole stream: one keeps the first schema and the last end."""
    begin, end = 0, b""
    for stream in streams:
        yield stream[begin : -len(ARROW_END) if stream.endswith(ARROW_END) else None]
        begin, end = 8 + struct.unpack_from("<i", stream, 4)[0], ARROW_END
    yield from filter(None, [end])


class Answer:
    """One response. Its head goes with its first bytes, so that an error before them still has a status of its own."""

    def __init__(self, request: "Request", query_id: str, accepted: str):
        self.request, self.query_id, self.accepted = request, query_id, accepted
        self.engine = request.server.engine
        # By it a client tells an error from rows that look like one.
        self.tag = uuid.uuid4().hex[:16]
        self.started = False

    def begin(self, form: str | None, status: int = 200, **headers: str) -> None:
        encoding, start, self.pack, self.packed = None, b"", bytes, bytes
        if "lz4" in self.accepted:
            frame = lz4.frame.LZ4FrameCompressor()
            encoding, start, self.pack, self.packed = "lz4", frame.begin(), frame.compress, frame.flush
        elif "gzip" in self.accepted:
            deflate = zlib.compressobj(level=3, wbits=31)
            encoding, self.pack, self.packed = "gzip", deflate.compress, deflate.flush
        fixed = {
            "Content-Type": "text/plain; charset=UTF-8",
            "Content-Encoding": encoding,
            "Transfer-Encoding": "chunked",
            "X-ClickHouse-Query-Id": self.query_id,
            "X-ClickHouse-Format": form,
            "X-ClickHouse-Timezone": self.engine.timezone,
            "X-ClickHouse-Server-Display-Name": "chdb",
            "X-ClickHouse-Exception-Tag": self.tag,
        }
        self.request.send_response(status)
        for name, value in (fixed | headers).items():
            if value:
                self.request.send_header(name, value)
        self.request.end_headers()
        self.started = True
        self.chunk(start)

    def chunk(self, data: bytes) -> None:
        # An empty chunk would be the last.
        if data:
            for part in (b"%x\r\n" % len(data), data, b"\r\n"):
                self.request.wfile.write(part)

    def write(self, data: bytes) -> None:
        self.chunk(self.pack(data))

    def end(self) -> None:
        self.chunk(self.packed())
        self.request.wfile.write(b"0\r\n\r\n")

    def whole(self, data: bytes, form: str | None = None, **summary: int) -> None:
        told = json.dumps({name: str(value) for name, value in summary.items()})
        self.begin(form, **{"X-ClickHouse-Summary": told})
        self.write(data)
        self.end()

    def fail(self, error: str) -> None:
        if not (found := re.search(r"Code: (\d+)\..*", error, re.S)):
            found = re.search(r"Code: (\d+)\..*", f"Code: 1002. DB::Exception: {error}. (UNKNOWN_EXCEPTION)", re.S)
        text = f"{found[0].split(' (version ')[0].strip()} (version {self.engine.version} (official build))\n"
        if self.started:
            text = f"\r\n__exception__\r\n{self.tag}\r\n{text}{len(text.encode())} {self.tag}\r\n__exception__\r\n"
        else:
            name = re.search(r"\((\w+)\) \(version", text)
            # The rest of the request stays unread, so none can follow it.
            headers = {"X-ClickHouse-Exception-Code": found[1], "Connection": "close"}
            self.begin(None, STATUS_OF.get(name and name[1], 500), **headers)
        self.write(text.encode())
        self.end()


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        accepted = "" if arguments.get("enable_http_compression") == "0" else self.headers.get("Accept-Encoding", "")
        answer = Answer(self, arguments.get("query_id") or str(uuid.uuid4()), accepted)
        try:
            if url.path == "/ping" or (self.command == "GET" and url.path == "/" and "query" not in arguments):
                answer.whole(b"Ok.\n")
            elif url.path == "/":
                self.answer(arguments, answer)
            else:
                raise Refused(46, "UNKNOWN_FUNCTION", f"There is no handle {url.path}")
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            with contextlib.suppress(ConnectionError):
                answer.fail(str(error))

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing: a test's output is the test's."""

    def answer(self, arguments: dict[str, str], answer: Answer) -> None:
        user = self.user(arguments)
        body = decoded(received(self.headers, self.rfile), self.headers.get("Content-Encoding"))
        if arguments.get("decompress") == "1":
            body = unblocked(body)
        content_type = self.headers.get("Content-Type", "")
        if content_type.startswith("multipart/form-data"):
            arguments, body = arguments | form_fields(b"".join(body), content_type), iter(())
        database = arguments.get("database") or self.headers.get("X-ClickHouse-Database") or "default"
        named = {name: value for name, value in arguments.items() if name not in ARGUMENTS}
        settings = {name: value for name, value in named.items() if not name.startswith("param_")}
        # As on the server, GET reads, whoever asks.
        readonly = user.readonly or (2 if self.command == "GET" else 0)
        with self.server.engine.session(database, answer.query_id, settings, readonly) as session:
            self.run(session, arguments, body, answer)

    def user(self, arguments: dict[str, str]) -> User:
        name, password = arguments.get("user", "default"), arguments.get("password", "")
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if "X-ClickHouse-User" in self.headers:
            name, password = self.headers["X-ClickHouse-User"], self.headers.get("X-ClickHouse-Key", "")
        elif scheme == "Basic":
            name, _, password = base64.b64decode(credentials).decode().partition(":")
        user = self.server.users.get(name)
        if user is None or user.password != password:
            what = "Authentication failed: password is incorrect, or there is no user with such name"
            raise Refused(516, "AUTHENTICATION_FAILED", f"{name}: {what}")
        return user

    def run(self, session: Session, arguments: dict[str, str], body: Iterator[bytes], answer: Answer) -> None:
        """The statement is in the URL or in the body, or begins there and ends here."""
        statement = arguments.get("query", "").encode()
        statement += b"\n" * bool(statement)
        for piece in itertools.chain([b""], body):
            statement += piece
            if found := INSERT.match(statement[:INSERT_HEAD_BYTES_MAX]):
                rows = itertools.chain([statement[found.end() :]], body)
                return insert(session, found[1].decode(), found[2].decode(), rows, answer)
        sql = statement.decode().strip()
        if KILL.match(sql):
            sql = re.sub(r"\bquery_id\b", QUERY_ID, sql)
        # The server refuses what the embedded engine would run. The call is private to chdb, whose version is pinned.
        if session._conn._conn.classify_query(sql)["statement_count"] > 1:
            raise Refused(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        written = FORMAT.search(sql)
        default = arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        form = written[1] if written else default
        parameters = {name[6:]: value for name, value in arguments.items() if name.startswith("param_")}
        is_streamed = SELECT.match(sql) and form.lower() in STREAMED and arguments.get("wait_end_of_query") != "1"
        ends_with_client = arguments.get("cancel_http_readonly_queries_on_client_close") == "1"
        with self.watched(answer.query_id) if ends_with_client else contextlib.nullcontext():
            if is_streamed:
                stream(session, sql, form, parameters, answer)
            # A stream without rows had no piece; asked like this, the engine gives its header or its schema.
            if not answer.started:
                fetch(session, sql, form, parameters, answer)

    @contextlib.contextmanager
    def watched(self, query_id: str) -> Iterator[None]:
        """The statement that runs within is killed when the client has gone."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(CLIENT_CHECK_SECONDS):
                if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                    return self.server.engine.kill(query_id)

        threading.Thread(target=watch, daemon=True).start()
        try:
            yield
        finally:
            ended.set()


def insert(session: Session, sql: str, form: str, rows: Iterable[bytes], answer: Answer) -> None:
    with session.send_insert(sql, form) as sink:
        for piece in filter(None, rows):
            sink.append(piece)
        done = sink.finish()
    answer.whole(b"", written_rows=done.rows_written, written_bytes=done.bytes_written)


def stream(session: Session, sql: str, form: str, parameters: dict[str, str], answer: Answer) -> None:
    with session.send_query(sql, form, params=parameters) as results:
        pieces = (result.bytes() for result in results)
        for piece in one_arrow_stream(pieces) if form.lower() == "arrowstream" else pieces:
            if not answer.started:
                answer.begin(form)
            answer.write(piece)
    if answer.started:
        answer.end()


def fetch(session: Session, sql: str, form: str, parameters: dict[str, str], answer: Answer) -> None:
    result = session.query(sql, form, params=parameters)
    counts = {"read_rows": result.storage_rows_read(), "read_bytes": result.storage_bytes_read()}
    told = counts | {"result_bytes": result.size(), "elapsed_ns": int(result.elapsed() * 1e9)}
    answer.whole(result.bytes() or b"", form, **told)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], engine: Engine, users: dict[str, User]):
        self.engine, self.users = engine, users
        super().__init__(address, Request)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    cli.add_argument("--host", default="127.0.0.1")
    cli.add_argument("--port", type=int, default=8123, help="0: any that is free")
    cli.add_argument("--path", default=":memory:", help="the folder of the data, which outlives the process")
    cli.add_argument("--user", action="append", metavar="NAME:PASSWORD:READONLY", help="READONLY is empty, 1 or 2")
    cli = cli.parse_args()
    parts = [user.split(":") for user in cli.user or ["default::"]]
    users = {name: User(password, int(readonly or 0)) for name, password, readonly in parts}
    server = Server((cli.host, cli.port), Engine(cli.path), users)
    # A session closed under its statement brings the process down. What was inserted is on the disk already.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print(f"ClickHouse {server.engine.version} on http://{cli.host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
