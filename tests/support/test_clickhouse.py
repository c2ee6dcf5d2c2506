"""Checks clickhouse.py from outside, as a client of it.

Run from the repository's root with a Python that has chdb: `python -m unittest tests/support/test_clickhouse.py`.
"""

import gzip
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import lz4.frame

SERVER = Path(__file__).with_name("clickhouse.py")
WAIT_SECONDS = 30
# A query that ends long after every test, unless something ends it.
ENDLESS = "SELECT count() FROM numbers(1000000000000000) WHERE NOT ignore(sipHash64(number))"
RUNNING = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'"


class ClickHouse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        users = ["--user", "default::", "--user", "reader:secret:2", "--user", "strict:secret:1"]
        command = [sys.executable, SERVER, "--port", "0", "--path", cls.folder.name, *users]
        cls.server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        cls.address = urlsplit(cls.server.stdout.readline().split()[-1]).netloc

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        assert cls.server.wait(WAIT_SECONDS) == 0
        cls.server.stdout.close()
        cls.folder.cleanup()

    def ask(self, sql, headers=(), method="POST", **arguments):
        """Answers with the status, the headers and the body."""
        connection = http.client.HTTPConnection(self.address, timeout=WAIT_SECONDS)
        try:
            connection.request(method, f"/?{urlencode(arguments)}", sql, dict(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def text(self, sql, *args, **arguments):
        status, _, body = self.ask(sql, *args, **arguments)
        self.assertEqual(status, 200, body)
        return body.decode()

    def refused(self, status, code, name, sql, *args, **arguments):
        got, headers, body = self.ask(sql, *args, **arguments)
        self.assertEqual((got, headers["X-ClickHouse-Exception-Code"]), (status, str(code)), body)
        self.assertIn(f"({name}) (version", body.decode())

    def test_ping_and_root_say_ok(self):
        for path in ("/ping", "/"):
            connection = http.client.HTTPConnection(self.address, timeout=WAIT_SECONDS)
            connection.request("GET", path)
            self.assertEqual(connection.getresponse().read(), b"Ok.\n")
            connection.close()

    def test_parameters_are_typed_in_url_and_form(self):
        sql = "SELECT {n:UInt8} + 1, {s:String}, {d:Decimal(38,2)}, {a:Array(String)}"
        values = {"n": "41", "s": "it's", "d": "12345678901234567890.12", "a": "['x','y\\'z']"}
        values = {f"param_{name}": value for name, value in values.items()}
        expected = "42\tit\\'s\t12345678901234567890.12\t['x','y\\'z']\n"
        self.assertEqual(self.text(sql, **values), expected)

        fields = {"query": sql, **values}.items()
        parts = [
            f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
        ]
        form = ("".join(parts) + "--edge--\r\n").encode()
        self.assertEqual(self.text(form, {"Content-Type": "multipart/form-data; boundary=edge"}), expected)
        self.refused(500, 457, "BAD_QUERY_PARAMETER", sql, **values | {"param_n": "many"})

    def test_types_keep_their_digits_and_names(self):
        sql = (
            "SELECT toDecimal128('1.10', 4) AS d, toDate32('1900-01-01') AS day, NULL AS n, ['a'] AS list,"
            " toDateTime64('2020-01-01 00:00:00.000001', 6, 'UTC') AS t, toInt64(9007199254740993) AS i"
        )
        answer = json.loads(self.text(sql, default_format="JSON", output_format_json_quote_64bit_integers="1"))
        types = ["Decimal(38, 4)", "Date32", "Nullable(Nothing)", "Array(String)", "DateTime64(6, 'UTC')", "Int64"]
        self.assertEqual([column["type"] for column in answer["meta"]], types)
        self.assertEqual(answer["data"][0]["i"], "9007199254740993")
        self.assertEqual(answer["data"][0]["t"], "2020-01-01 00:00:00.000001")

    def test_headers_tell_format_query_and_counts(self):
        _, headers, _ = self.ask("SELECT 1 FORMAT CSVWithNames", query_id="mine")
        self.assertEqual(headers["X-ClickHouse-Query-Id"], "mine")
        self.assertEqual(headers["X-ClickHouse-Format"], "CSVWithNames")
        self.assertEqual(json.loads(headers["X-ClickHouse-Summary"])["read_rows"], "1")

    def test_errors_have_code_name_and_status(self):
        self.refused(404, 60, "UNKNOWN_TABLE", "SELECT * FROM missing")
        self.refused(400, 62, "SYNTAX_ERROR", "SELEC 1")
        self.refused(400, 62, "SYNTAX_ERROR", "SELECT 1; SELECT 2")
        self.refused(404, 115, "UNKNOWN_SETTING", "SELECT 1", no_such_setting="1")
        self.refused(408, 159, "TIMEOUT_EXCEEDED", ENDLESS, max_execution_time="0.2")

    def test_users_have_passwords_and_may_only_read(self):
        reader = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": "secret"}
        strict = reader | {"X-ClickHouse-User": "strict"}
        table = "CREATE TABLE refused (a Int8) ENGINE = MergeTree ORDER BY a"
        self.refused(403, 516, "AUTHENTICATION_FAILED", "SELECT 1", reader | {"X-ClickHouse-Key": "wrong"})
        self.refused(403, 516, "AUTHENTICATION_FAILED", "SELECT 1", user="nobody")
        self.assertEqual(self.text("SELECT 1", reader, max_threads="1"), "1\n")
        self.refused(500, 164, "READONLY", table, reader)
        self.refused(500, 164, "READONLY", "SELECT 1", strict, max_threads="1")
        self.refused(500, 164, "READONLY", None, method="GET", query=table)

    def test_an_error_behind_rows_is_a_tagged_trailer(self):
        sql = "SELECT throwIf(number = 1000000) FROM numbers(2000000) SETTINGS max_block_size = 65536 FORMAT CSV"
        status, headers, body = self.ask(sql)
        self.assertEqual(status, 200)
        tag = headers["X-ClickHouse-Exception-Tag"]
        rows, trailer = body.decode().split(f"\r\n__exception__\r\n{tag}\r\n")
        self.assertGreaterEqual(rows.count("0\n"), 65536)
        message = trailer.splitlines()[0] + "\n"
        self.assertIn("(FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)", message)
        self.assertEqual(trailer, f"{message}{len(message)} {tag}\r\n__exception__\r\n")

    def test_kill_query_ends_a_query_by_its_id(self):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(self.ask(ENDLESS, query_id="endless")))
        thread.start()
        while self.text(RUNNING) == "0\n":
            pass
        self.text("KILL QUERY WHERE query_id = 'endless' SYNC")
        thread.join(WAIT_SECONDS)
        self.assertEqual(answers[0][1]["X-ClickHouse-Exception-Code"], "394")

    def test_a_query_ends_with_its_client(self):
        connection = http.client.HTTPConnection(self.address)
        connection.request("POST", "/?cancel_http_readonly_queries_on_client_close=1&log_comment=mine", ENDLESS)
        while self.text(RUNNING) == "0\n":
            pass
        connection.close()
        while self.text(RUNNING) != "0\n":
            pass

    def test_inserts_of_arrow_streams_are_read_back(self):
        columns = "(id Int64, day Date32, price Decimal(18, 4), tags Array(String)) ENGINE = MergeTree ORDER BY id"
        self.text(f"CREATE TABLE arrows {columns}")
        sql = (
            "SELECT toInt64(number) AS id, toDate32('1969-12-31') + number AS day, toDecimal64(number, 4) / 3 AS price,"
            " [toString(number), ''] AS tags FROM numbers(100000)"
        )
        _, _, stream = self.ask(sql, default_format="ArrowStream")
        pieces = (stream[start : start + 99_999] for start in range(0, len(stream), 99_999))
        status, headers, body = self.ask(pieces, query="INSERT INTO arrows FORMAT ArrowStream")
        self.assertEqual(status, 200, body)
        self.assertEqual(json.loads(headers["X-ClickHouse-Summary"])["written_rows"], "100000")
        packed = lz4.frame.compress(b"7\t2020-01-01\t1.5\t['a']\n")
        self.text(packed, {"Content-Encoding": "lz4"}, query="INSERT INTO arrows FORMAT TabSeparated")
        self.text("INSERT INTO arrows FORMAT CSV\n8,2020-01-01,1.5,\"['a']\"\n")
        self.assertEqual(
            self.text("SELECT count(), max(day), sum(length(tags)) FROM arrows"), "100002\t2243-10-15\t200002\n"
        )

    def test_answers_are_packed_as_the_client_accepts(self):
        sql = "SELECT number FROM numbers(300000) FORMAT TSV"
        plain = self.text(sql)
        for encoding, unpack in (("gzip", gzip.decompress), ("lz4", lz4.frame.decompress)):
            _, headers, body = self.ask(sql, {"Accept-Encoding": encoding})
            self.assertEqual(headers["Content-Encoding"], encoding)
            self.assertEqual(unpack(body).decode(), plain)

    def test_a_stream_without_rows_has_its_schema(self):
        _, _, body = self.ask("SELECT 1 AS one WHERE 0 FORMAT ArrowStream")
        self.assertIn(b"one", body)


if __name__ == "__main__":
    unittest.main()
