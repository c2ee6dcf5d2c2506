"""Asks a server with a client that openapi-python-client made: sdk.py URL TOKEN. Prints what it got as JSON."""

import datetime
import json
import sys

from martello_client import AuthenticatedClient
from martello_client.api.datasets import get_dataset
from martello_client.api.price_daily import get_price_daily_row, list_price_daily_rows
from martello_client.models import DatasetName, Numbers, PriceDailyColumnName, PriceDailyPage, PriceDailySortKey, Problem

url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)

question = {
    "symbol_in": "AAPL,MSFT",
    "date_gte": datetime.date(2014, 12, 30),
    "sort": [PriceDailySortKey.DATE_DESC, PriceDailySortKey.SYMBOL],
    "select": [PriceDailyColumnName.SYMBOL, PriceDailyColumnName.DATE, PriceDailyColumnName.CLOSE],
    "limit": 3,
}
first = list_price_daily_rows.sync(client=client, **question)
assert isinstance(first, PriceDailyPage), first
second = list_price_daily_rows.sync(client=client, cursor=first.page.next_cursor, **question)
assert isinstance(second, PriceDailyPage), second
rows = [(row.symbol, row.date.isoformat(), row.close) for row in first.data + second.data]

exact = get_price_daily_row.sync(client=client, symbol="AAPL", date=datetime.date(2014, 12, 31), numbers=Numbers.STRING)
refused = list_price_daily_rows.sync_detailed(client=client, limit=0)
assert isinstance(refused.parsed, Problem), refused
dataset = get_dataset.sync(client=client, dataset=DatasetName.PRICE_DAILY).data
print(
    json.dumps(
        {
            "rows": rows,
            "more": [first.page.has_more, second.page.has_more],
            "exact": exact.data.close,
            "status": refused.status_code,
            "problem": [refused.parsed.type_, refused.parsed.status, refused.parsed.parameter],
            "dataset": [dataset.primary_key, dataset.point_in_time.known_at, dataset.sla.due, dataset.limits.rows_per_request],
        }
    )
)
