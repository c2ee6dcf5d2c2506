"""Asks a server with a client that openapi-python-client made: sdk.py URL TOKEN. Prints what it got as JSON."""

import datetime
import json
import sys

from martello_client import AuthenticatedClient
from martello_client.api.datasets import get_dataset
from martello_client.api.price_daily import (
    aggregate_price_daily,
    get_price_daily_row,
    list_price_daily_rows,
    query_price_daily,
)
from martello_client.models import (
    DatasetName,
    Estimate,
    Numbers,
    PriceDailyColumnName,
    PriceDailyGroupKey,
    PriceDailyGroupPage,
    PriceDailyMeasure,
    PriceDailyPage,
    PriceDailyQuestion,
    PriceDailySortKey,
    Problem,
)

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
groups = aggregate_price_daily.sync(
    client=client,
    symbol_in="AAPL,MSFT",
    group_by=[PriceDailyGroupKey.SYMBOL, PriceDailyGroupKey.DATE_YEAR],
    measures=[PriceDailyMeasure.COUNT, PriceDailyMeasure.SUM_VOLUME, PriceDailyMeasure.AVG_CLOSE],
    having="(date_year=2014-01-01)",
    sort=["-avg(close)"],
)
assert isinstance(groups, PriceDailyGroupPage), groups
asked = {
    "filter": {"symbol": {"in": ["AAPL"]}, "or": [{"date": "2014-12-31"}, {"close": {"gt": 700}}]},
    "select": ["date", "close"],
    "limit": 1,
    "sort": ["-date"],
    "expand": {"profile": {"select": ["company_name"]}},
}
posted = query_price_daily.sync(client=client, body=PriceDailyQuestion.from_dict(asked))
assert isinstance(posted, PriceDailyPage), posted
asked = {
    "filter": {"symbol": "AAPL"},
    "group_by": ["date:year"],
    "measures": ["count()", "max(high)"],
    "having": {"max_high": {"gt": 700}, "not": {"count()": 251}},
    "sort": ["date_year"],
}
having = query_price_daily.sync(client=client, body=PriceDailyQuestion.from_dict(asked))
assert isinstance(having, PriceDailyPage | PriceDailyGroupPage), having
cost = query_price_daily.sync(client=client, body=PriceDailyQuestion(dry_run=True))
assert isinstance(cost, Estimate), cost
dataset = get_dataset.sync(client=client, dataset=DatasetName.PRICE_DAILY).data
print(
    json.dumps(
        {
            "rows": rows,
            "more": [first.page.has_more, second.page.has_more],
            "exact": exact.data.close,
            "groups": [(group.symbol, group.date_year.isoformat(), group.count, group.sum_volume) for group in groups.data],
            "posted": [row.to_dict() for row in posted.data],
            "having": [group.to_dict() for group in having.data],
            "stopped_by": cost.data.stopped_by,
            "status": refused.status_code,
            "problem": [refused.parsed.type_, refused.parsed.status, refused.parsed.parameter],
            "dataset": [dataset.primary_key, dataset.point_in_time.known_at, dataset.sla.due, dataset.limits.rows_per_request],
        }
    )
)
