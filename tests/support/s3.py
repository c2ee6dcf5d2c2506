"""An S3 for the tests: moto's, behind the check of signatures that moto does not make.

    python tests/support/s3.py --port 0 --key ID:SECRET --bucket NAME

The first line of its output ends in its URL; it keeps everything in memory, and ends with SIGTERM. Signatures, in headers
and in links, are compared with those of Amazon's own library, and links end. Requests come one after the other, since
moto's "put it unless it is there" is none between two of them.
"""

import argparse
import hashlib
import hmac
import io
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"


class Refused(Exception):
    """What S3 says of a request that it does not believe: its code and its message."""


class Checked:
    """A WSGI application that lets signed requests through to another one."""

    def __init__(self, inner: Callable, key: str, secret: str) -> None:
        self.inner = inner
        self.credentials = Credentials(key, secret)
        self.turn = threading.Lock()

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            self.check(environ, body)
        except Refused as refused:
            code, message = refused.args
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()]
        with self.turn:
            return list(self.inner(environ, start_response))

    def check(self, environ: dict, body: bytes) -> None:
        query = parse_qs(urlsplit(environ["REQUEST_URI"]).query)
        if "X-Amz-Signature" in query:
            self.check_link(environ, {name: values[0] for name, values in query.items()})
        else:
            self.check_headers(environ, body)

    def check_link(self, environ: dict, said: dict[str, str]) -> None:
        begins = datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) >= begins + timedelta(seconds=int(said["X-Amz-Expires"])):
            raise Refused("AccessDenied", "Request has expired")
        pairs = environ["REQUEST_URI"].partition("?")[2].split("&")
        query = "&".join(pair for pair in pairs if not pair.startswith("X-Amz-Signature="))
        names, date = said["X-Amz-SignedHeaders"], said["X-Amz-Date"]
        self.compare(S3SigV4QueryAuth, environ, query, said["X-Amz-Credential"], names, date, said["X-Amz-Signature"])
        # Moto takes the link to a file that is gone for a forged one where it says what to answer with
        # (response-content-type); what comes with a header is not looked at so.
        environ["HTTP_AUTHORIZATION"] = f"{ALGORITHM} Credential={said['X-Amz-Credential']}"

    def check_headers(self, environ: dict, body: bytes) -> None:
        algorithm, _, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        said = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        if algorithm != ALGORITHM:
            raise Refused("AccessDenied", "Access Denied")
        digest = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        if digest not in (UNSIGNED, hashlib.sha256(body).hexdigest()):
            raise Refused("XAmzContentSHA256Mismatch", "The provided header does not match what was computed")
        query = environ["REQUEST_URI"].partition("?")[2]
        names, date = said["SignedHeaders"], environ["HTTP_X_AMZ_DATE"]
        self.compare(S3SigV4Auth, environ, query, said["Credential"], names, date, said["Signature"])

    def compare(
        self, kind: type[S3SigV4Auth], environ: dict, query: str, credential: str, names: str, date: str, given: str
    ) -> None:
        key, _, region, service, _ = credential.split("/")
        if key != self.credentials.access_key:
            raise Refused("InvalidAccessKeyId", "The key id does not exist in our records")
        values = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
        headers = {
            name: environ[values.get(name, "HTTP_" + name.upper().replace("-", "_"))] for name in names.split(";")
        }
        path = environ["REQUEST_URI"].partition("?")[0]
        url = f"http://{environ['HTTP_HOST']}{path}" + (f"?{query}" if query else "")
        request = AWSRequest(environ["REQUEST_METHOD"], url, headers)
        request.context["timestamp"] = date
        signer = kind(self.credentials, service, region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        if not hmac.compare_digest(signer.signature(text, request), given):
            raise Refused("SignatureDoesNotMatch", "The signature does not match")


class Quiet(WSGIRequestHandler):
    """Keep-alive, as S3 has it, and no line for each request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", required=True, metavar="ID:SECRET")
    parser.add_argument("--bucket", required=True)
    arguments = parser.parse_args()
    key, _, secret = arguments.key.partition(":")
    application = Checked(DomainDispatcherApplication(create_backend_app), key, secret)
    server = make_server("127.0.0.1", arguments.port, application, threaded=True, request_handler=Quiet)
    url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )
    client.create_bucket(Bucket=arguments.bucket)
    print(f"S3 on {url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
