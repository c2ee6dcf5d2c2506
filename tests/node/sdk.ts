// Asks a server with a client whose types openapi-typescript made: sdk.js URL TOKEN. Prints what it got as JSON.
import createClient from "openapi-fetch";

import type { components, paths } from "./martello.js";

declare const process: { argv: string[] };
const [url, token] = process.argv.slice(2) as [string, string];
// Other formats have no types: what is asked for here is JSON.
const client = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });

const question = {
  "symbol.in": "AAPL,MSFT",
  "date.gte": "2014-12-30",
  sort: ["-date" as const, "symbol" as const],
  select: ["symbol" as const, "date" as const, "close" as const],
  limit: 3,
};

function must<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "no answer");
  return answer.data;
}

const first = must(await client.GET("/v1/datasets/price_daily/rows", { params: { query: question } }));
const cursor: string | null = first.page.next_cursor;
if (cursor === null) throw new Error("no second page");
const second = must(
  await client.GET("/v1/datasets/price_daily/rows", { params: { query: { ...question, cursor } } }),
);
const rows = [...first.data, ...second.data].map((row) => [row.symbol, row.date, row.close]);

const exact = must(
  await client.GET("/v1/datasets/price_daily/rows/{symbol}/{date}", {
    params: { path: { symbol: "AAPL", date: "2014-12-31" }, query: { numbers: "string" } },
  }),
);
const refused = await client.GET("/v1/datasets/price_daily/rows", { params: { query: { limit: 0 } } });
if (refused.error === undefined) throw new Error("not refused");
const kind: string = refused.error.type;
// A misspelt column does not compile; asked all the same, it is a problem.
const misspelt = await client.GET("/v1/datasets/price_daily/rows", {
  // @ts-expect-error
  params: { query: { select: ["clsoe"] } },
});
const groups = must(
  await client.GET("/v1/datasets/price_daily/aggregate", {
    params: {
      query: {
        "symbol.in": "AAPL,MSFT",
        group_by: ["symbol" as const, "date:year" as const],
        measures: ["count()" as const, "sum(volume)" as const, "avg(close)" as const],
        having: "(date_year=2014-01-01)",
        sort: ["-avg(close)"],
      },
    },
  }),
).data.map((group) => [group.symbol, group.date_year, group.count, group.sum_volume]);
const posted = must(
  await client.POST("/v1/datasets/price_daily/query", {
    body: {
      filter: { symbol: { in: ["AAPL"] }, or: [{ date: "2014-12-31" }, { close: { gt: 700 } }] },
      select: ["date", "close"],
      limit: 1,
      sort: ["-date"],
      expand: { profile: { select: ["company_name"] } },
    },
  }),
);
if (!("page" in posted)) throw new Error("no page");
const having = must(
  await client.POST("/v1/datasets/price_daily/query", {
    body: {
      filter: { symbol: "AAPL" },
      group_by: ["date:year"],
      measures: ["count()", "max(high)"],
      having: { max_high: { gt: 700 }, not: { "count()": 251 } },
      sort: ["date_year"],
    },
  }),
);
if (!("page" in having)) throw new Error("no page");
const cost = must(await client.POST("/v1/datasets/price_daily/query", { body: { dry_run: true } }));
if (!("data" in cost) || !("fingerprint" in cost.data)) throw new Error("no cost");
const dataset = must(await client.GET("/v1/datasets/{dataset}", { params: { path: { dataset: "price_daily" } } })).data;

console.log(
  JSON.stringify({
    rows,
    more: [first.page.has_more, second.page.has_more],
    exact: exact.data.close,
    status: refused.response.status,
    problem: [kind, refused.error.status, refused.error.parameter],
    groups,
    posted: posted.data,
    having: having.data,
    stopped_by: cost.data.stopped_by,
    misspelt: [misspelt.error?.type, misspelt.error?.hint],
    dataset: [dataset.primary_key, dataset.point_in_time?.known_at, dataset.sla.due, dataset.limits.rows_per_request],
  }),
);
