"""Makes a container in an Azurite, which has none at first and no program that makes one.

    python tests/support/azure.py URL ACCOUNT:KEY CONTAINER
"""

import base64
import hashlib
import hmac
import sys
import urllib.request
from email.utils import formatdate

VERSION = "2021-08-06"


def main(url: str, key: str, container: str) -> None:
    account, _, secret = key.partition(":")
    date = formatdate(usegmt=True)
    # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key: the account stands in the path as well.
    headers = f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
    text = "PUT" + "\n" * 12 + headers + f"/{account}/{account}/{container}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(secret), text.encode(), hashlib.sha256)).decode()
    request = urllib.request.Request(f"{url}/{account}/{container}?restype=container", method="PUT")
    request.add_header("x-ms-date", date)
    request.add_header("x-ms-version", VERSION)
    request.add_header("Authorization", f"SharedKey {account}:{signature}")
    urllib.request.urlopen(request, timeout=30).close()


if __name__ == "__main__":
    main(*sys.argv[1:])
