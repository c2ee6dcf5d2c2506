"""A Google Cloud Storage for the tests: the S3 of s3.py, spoken to as Google's XML API is.

    python tests/support/gcs.py --public-key FILE --email ACCOUNT --bucket NAME

The first line of its output ends in its URL; it keeps everything in memory, and ends with SIGTERM. The two languages are one
but for who asks and what must hold: https://docs.cloud.google.com/storage/docs/interoperability. A service account signs its
token itself: https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth.
"""

import argparse
import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

import jwt
from moto.server import DomainDispatcherApplication, create_backend_app
from s3 import Quiet
from werkzeug.serving import make_server
from werkzeug.test import Client

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# What moto reads of it is that it is for S3.
AS_S3 = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=a"


class Translated:
    """A WSGI application that tells an S3 what Google's storage is asked."""

    def __init__(self, inner: Callable, public_key: str, email: str) -> None:
        self.inner, self.public_key, self.email = inner, public_key, email
        self.turn = threading.Lock()

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            self.check(environ.get("HTTP_AUTHORIZATION", ""))
        except jwt.InvalidTokenError as error:
            start_response("401 Unauthorized", [("Content-Type", "application/xml")])
            return [f"<Error><Code>AuthenticationRequired</Code><Message>{error}</Message></Error>".encode()]
        generation = environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None)
        if generation not in (None, "0"):
            start_response("501 Not Implemented", [])
            return []
        if generation:
            environ["HTTP_IF_NONE_MATCH"] = "*"
        # Moto reads the bucket's name as it came, and that may come escaped.
        uri = quote(environ["PATH_INFO"], safe="/-._~") + "?" + environ.get("QUERY_STRING", "")
        environ |= {"RAW_URI": uri, "REQUEST_URI": uri}
        environ |= {"wsgi.input": io.BytesIO(body), "HTTP_AUTHORIZATION": AS_S3}
        # Moto's "put it unless it is there" is none between two requests.
        with self.turn:
            return list(self.inner(environ, start_response))

    def check(self, authorization: str) -> None:
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer":
            raise jwt.InvalidTokenError("Anonymous caller does not have access")
        claims = jwt.decode(token, self.public_key, ["RS256"], options={"require": ["exp", "iat", "scope"]})
        if (claims["iss"], claims["sub"], claims["scope"]) != (self.email, self.email, SCOPE):
            raise jwt.InvalidTokenError("The token is somebody else's, or for something else")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public-key", required=True, type=Path)
    parser.add_argument("--email", required=True)
    parser.add_argument("--bucket", required=True)
    arguments = parser.parse_args()
    inner = DomainDispatcherApplication(create_backend_app)
    application = Translated(inner, arguments.public_key.read_text(), arguments.email)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    url = f"http://127.0.0.1:{server.server_port}"
    made = Client(inner).put(f"/{arguments.bucket}", base_url=url, headers={"Authorization": AS_S3})
    if made.status_code != 200:
        raise SystemExit(made.get_data(as_text=True))
    print(f"Google Cloud Storage on {url}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
