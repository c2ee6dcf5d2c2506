"""Derives the demo's marts and signals from its facts: `python demo/derive.py [--data demo/data]`.

Prices are as traded, so every indicator reads the adjusted close A, and open, high and low times a = adj_close / close.
A run is what one symbol traded without a gap of more than GAP_DAYS_MAX calendar days; no window reaches across a gap.
The same facts give the same values: nothing here reads a clock, and the only random numbers are seeded.
"""

import argparse
import json
import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

GAP_DAYS_MAX = 10
TRADING_DAYS_A_YEAR = 252
DECIMALS = 6
RUN = ["symbol", "run"]
A, ROW = pl.col("adj_close"), pl.col("row")

HORIZON_SESSIONS = {"short": 10, "medium": 65, "long": 130}
HORIZON_WEIGHT = {"short": 0.5, "medium": 1.0, "long": 1.0}
SIGNAL_COLUMNS = ["symbol", "active_from", "signal", "direction", "strength", "horizon", "value", "threshold", "inputs"]
SIGNAL_SCHEMA = {
    "symbol": pl.String, "active_from": pl.Date, "signal": pl.String, "direction": pl.Int32, "strength": pl.Float64,
    "horizon": pl.String, "value": pl.Float64, "threshold": pl.Float64, "inputs": pl.String,
}

# Any constant would do; this one is kept so that the synthetic posts stay the same from run to run.
SOCIAL_SEED = 20140611
SOCIAL_POSTS_A_DAY = {"AAPL": 900, "BRK-A": 40, "FB": 1200, "GOOG": 700, "IBM": 160, "MSFT": 480, "ZEN": 60}

COVER_METRIC = "shares_outstanding_cover"
NASDAQ_100_RECORD_START = date(2006, 1, 1)


def published(frame: pl.DataFrame) -> pl.DataFrame:
    """Floats rounded to DECIMALS; null for NaN and infinities; 0.0 for -0.0, which some readers print with its sign."""
    column = pl.selectors.float()
    rounded = column.round(DECIMALS)
    return frame.with_columns(pl.when(column.is_finite()).then(pl.when(rounded != 0).then(rounded).otherwise(0.0)))


def bars(price_daily: pl.DataFrame) -> pl.DataFrame:
    """Sessions in order: `run` counts the gaps before a row, `row` counts from 1 in its run, h = a * high, l = a * low."""
    factor = A / pl.col("close")
    return (
        price_daily.sort("symbol", "date")
        .with_columns(pl.col("high", "low", "close", "adj_close").cast(pl.Float64))
        .with_columns(
            run=(pl.col("date").diff().dt.total_days() > GAP_DAYS_MAX).fill_null(False).cum_sum().over("symbol"),
            h=pl.col("high") * factor,
            l=pl.col("low") * factor,
        )
        .with_columns(row=pl.int_range(1, pl.len() + 1).over(RUN))
        .select("symbol", "date", "run", "row", "h", "l", "adj_close", "volume")
    )


def seeded_average(x: pl.Expr, first: int, n: int, alpha: float) -> pl.Expr:
    """e = mean of the first n x at row first + n - 1, then e[-1] + alpha (x - e[-1]); row `first` has the first x."""
    seed_row = first + n - 1
    seeded = pl.when(ROW > seed_row).then(x).when(ROW == seed_row).then(x.rolling_mean(n))
    return seeded.ewm_mean(alpha=alpha, adjust=False)


def ema(x: pl.Expr, first: int, n: int) -> pl.Expr:
    """Exponential average: alpha = 2 / (n + 1), seeded by the mean of the first n."""
    return seeded_average(x, first, n, 2 / (n + 1))


def wilder(x: pl.Expr, first: int, n: int) -> pl.Expr:
    """Wilder's average: (x + (n - 1) e[-1]) / n, seeded by the mean of the first n."""
    return seeded_average(x, first, n, 1 / n)


def rsi(n: int) -> pl.Expr:
    """100 - 100 / (1 + U / D), U and D Wilder's averages of the rises and falls of A; D = 0 gives 100, both 0 give 50."""
    up = wilder(A.diff().clip(lower_bound=0), 2, n)
    down = wilder((-A.diff()).clip(lower_bound=0), 2, n)
    return (
        pl.when((up == 0) & (down == 0)).then(50.0)
        .when(down == 0).then(100.0)
        .otherwise(100 - 100 / (1 + up / down))
    )


def true_range() -> pl.Expr:
    """max(h - l, |h - A[-1]|, |l - A[-1]|), null in a run's first row."""
    before = A.shift(1)
    highest = pl.max_horizontal(pl.col("h") - pl.col("l"), (pl.col("h") - before).abs(), (pl.col("l") - before).abs())
    return pl.when(before.is_not_null()).then(highest)


def technical_daily(bars: pl.DataFrame) -> pl.DataFrame:
    """One row a session: moving averages, bands, momentum, risk and volume, each null until its window is full.

    sma_n = mean of the last n A; macd = ema_12 - ema_26 and its 9-EMA; bands = sma_20 -+ 2 population sigma(20);
    volatility_20d = sample sigma of 20 log returns * sqrt(252); momentum_12_1 = A[-21] / A[-252] - 1;
    drawdown_52w = A / max(252) - 1; relative_volume = volume / mean volume of the 20 rows before;
    obv = running sum of sign(A - A[-1]) * volume.
    """
    volume, width = pl.col("volume"), pl.col("bb_upper") - pl.col("bb_lower")
    year = TRADING_DAYS_A_YEAR
    steps: list[dict[str, pl.Expr]] = [
        {f"sma_{n}": A.rolling_mean(n) for n in (20, 50, 200)},
        {f"ema_{n}": ema(A, 1, n) for n in (12, 26)},
        {"macd": pl.col("ema_12") - pl.col("ema_26")},
        {"macd_signal": ema(pl.col("macd"), 26, 9)},
        {"macd_hist": pl.col("macd") - pl.col("macd_signal")},
        {"rsi_14": rsi(14)},
        {
            "bb_mid": pl.col("sma_20"),
            "bb_upper": pl.col("sma_20") + 2 * A.rolling_std(20, ddof=0),
            "bb_lower": pl.col("sma_20") - 2 * A.rolling_std(20, ddof=0),
        },
        {"bb_pct_b": pl.when(width > 0).then((A - pl.col("bb_lower")) / width)},
        {"atr_14": wilder(true_range(), 2, 14)},
        {"return_1d": A / A.shift(1) - 1, "log_return_1d": (A / A.shift(1)).log()},
        {"volatility_20d": pl.col("log_return_1d").rolling_std(20, ddof=1) * math.sqrt(year)},
        {"momentum_12_1": A.shift(21) / A.shift(year) - 1},
        {"high_52w": A.rolling_max(year), "low_52w": A.rolling_min(year)},
        {"drawdown_52w": A / pl.col("high_52w") - 1},
        {"volume_sma_20": volume.shift(1).rolling_mean(20)},
        {"relative_volume": pl.when(pl.col("volume_sma_20") > 0).then(volume / pl.col("volume_sma_20"))},
        {"obv": (A.diff().sign().fill_null(0).cast(pl.Int64) * volume).cum_sum()},
    ]
    frame = bars
    for step in steps:
        frame = frame.with_columns(expr.over(RUN).alias(name) for name, expr in step.items())
    return published(frame.select("symbol", "date", *(name for step in steps for name in step)))


@dataclass(frozen=True)
class Rule:
    """A price signal: where `fires` is true, strength = min(1, |value - threshold| / scale); `inputs` are shown with it."""

    signal: str
    direction: pl.Expr
    horizon: str
    fires: pl.Expr
    value: pl.Expr
    threshold: pl.Expr
    scale: pl.Expr
    inputs: list[str]


def crossing(signals: tuple[str, str], horizon: str, value: pl.Expr, before: pl.Expr, inputs: list[str]) -> list[Rule]:
    """Bullish where value goes from <= 0 to > 0, bearish where from >= 0 to < 0; scale 2% of A."""
    zero, scale = pl.lit(0.0), 0.02 * A
    return [
        Rule(signals[0], pl.lit(1), horizon, (before <= 0) & (value > 0), value, zero, scale, inputs),
        Rule(signals[1], pl.lit(-1), horizon, (before >= 0) & (value < 0), value, zero, scale, inputs),
    ]


def price_rules() -> list[Rule]:
    """Every signal that one session's bar and the one before decide; columns of the one before end in `_before`.

    Bands are measured in bb_pct_b (1 is the upper band, 0 the lower) and new extremes in percent past that of the window's
    other 251 sessions, so that a scale of 1 means the same at every price.
    """
    c, one = pl.col, pl.lit(1.0)
    rsi_inputs, spike_inputs = ["rsi_14", "rsi_14_before"], ["relative_volume", "return_1d"]
    spike = (c("relative_volume") >= 3) & (c("return_1d").abs() >= 0.02)
    past_high = 100 * (A / c("high_251_before") - 1)
    past_low = 100 * (A / c("low_251_before") - 1)
    return [
        *crossing(
            ("golden_cross", "death_cross"), "long",
            c("sma_50") - c("sma_200"), c("sma_50_before") - c("sma_200_before"), ["sma_200", "sma_50"],
        ),
        *crossing(
            ("macd_bullish_cross", "macd_bearish_cross"), "short",
            c("macd_hist"), c("macd_hist_before"), ["macd", "macd_hist", "macd_signal"],
        ),
        Rule("rsi_oversold_exit", pl.lit(1), "short", (c("rsi_14_before") < 30) & (c("rsi_14") >= 30),
             c("rsi_14"), pl.lit(30.0), pl.lit(10.0), rsi_inputs),
        Rule("rsi_overbought_exit", pl.lit(-1), "short", (c("rsi_14_before") > 70) & (c("rsi_14") <= 70),
             c("rsi_14"), pl.lit(70.0), pl.lit(10.0), rsi_inputs),
        Rule("bollinger_breakout_up", pl.lit(1), "short",
             (c("adj_close_before") <= c("bb_upper_before")) & (A > c("bb_upper")),
             c("bb_pct_b"), pl.lit(1.0), one, ["adj_close", "bb_lower", "bb_upper"]),
        Rule("bollinger_breakout_down", pl.lit(-1), "short",
             (c("adj_close_before") >= c("bb_lower_before")) & (A < c("bb_lower")),
             c("bb_pct_b"), pl.lit(0.0), one, ["adj_close", "bb_lower", "bb_upper"]),
        Rule("new_52w_high", pl.lit(1), "medium",
             (A == c("high_52w")) & (c("adj_close_before") != c("high_52w_before")),
             past_high, pl.lit(0.0), one, ["adj_close", "high_251_before"]),
        Rule("new_52w_low", pl.lit(-1), "medium",
             (A == c("low_52w")) & (c("adj_close_before") != c("low_52w_before")),
             past_low, pl.lit(0.0), one, ["adj_close", "low_251_before"]),
        Rule("volume_spike", c("return_1d").sign(), "short", spike,
             c("relative_volume"), pl.lit(3.0), pl.lit(3.0), spike_inputs),
    ]


def compact(inputs: dict[str, object]) -> str:
    """JSON with sorted keys and no spaces, so that equal inputs are equal text."""
    return json.dumps(inputs, sort_keys=True, separators=(",", ":"))


def price_signals(bars: pl.DataFrame, technical: pl.DataFrame) -> pl.DataFrame:
    """The price rules over the published (rounded) indicators, so that a reader of technical_daily finds the same days."""
    sessions = bars.select("symbol", "date", *RUN[1:], "adj_close").join(technical, on=["symbol", "date"])
    others = TRADING_DAYS_A_YEAR - 1
    sessions = sessions.with_columns(
        pl.exclude("symbol", "date", "run").shift(1).over(RUN).name.suffix("_before"),
        high_251_before=A.shift(1).rolling_max(others).over(RUN),
        low_251_before=A.shift(1).rolling_min(others).over(RUN),
    )
    found = []
    for rule in price_rules():
        strength = ((rule.value - rule.threshold).abs() / rule.scale).clip(upper_bound=1.0)
        fired = published(sessions.filter(rule.fires).select(
            "symbol", pl.col("date").alias("active_from"), pl.lit(rule.signal).alias("signal"),
            rule.direction.cast(pl.Int32).alias("direction"), strength.alias("strength"),
            pl.lit(rule.horizon).alias("horizon"), rule.value.alias("value"), rule.threshold.alias("threshold"),
            pl.struct(rule.inputs).alias("inputs"),
        ))
        inputs = pl.Series("inputs", [compact(row) for row in fired["inputs"].to_list()], dtype=pl.String)
        found.append(fired.with_columns(inputs).select(SIGNAL_COLUMNS))
    return pl.concat(found)


def growth_on_year(revenues: dict[date, tuple[date, int]], quarter: date) -> tuple[float, int, int] | None:
    """(revenue / revenue a year before - 1, both revenues) of the quarter that ended on a date; None if either is unknown.

    Fiscal years have 52 or 53 weeks: the year before is the quarter that ended 355 to 375 days earlier.
    """
    years_before = [end for end in revenues if 355 <= (quarter - end).days <= 375]
    if quarter not in revenues or not years_before:
        return None
    revenue, base = revenues[quarter][1], revenues[years_before[0]][1]
    return (revenue / base - 1, revenue, base) if base > 0 else None


def revenue_signals(fundamental: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """revenue_acceleration: a filing adds a quarter whose growth on the year is > 0 and >= 5 points above the one before it.

    All four revenues are what was known at filed_date, that day's filings included. The quarter before ended the day
    before this one began. value = the rise in growth, threshold = 0.05, scale 1. It acts from the symbol's next session,
    and not at all if that is more than GAP_DAYS_MAX days away: nobody traded on news that old.
    """
    quarters = fundamental.filter(pl.col("metric") == "revenue", pl.col("period_type") == "quarter")
    sessions = dict(bars.group_by("symbol", maintain_order=True).agg("date").iter_rows())
    found = []
    for symbol, days in sessions.items():
        known: dict[date, tuple[date, int]] = {}
        facts = quarters.filter(pl.col("symbol") == symbol).sort("filed_date", "fact_id")
        for (filed,), filing in facts.group_by("filed_date", maintain_order=True):
            newest_before = max(known, default=date.min)
            known |= {
                end: (start, int(value))
                for end, start, value in filing.select("period_end", "period_start", "value").iter_rows()
            }
            quarter = max(known)
            next_session = bisect_right(days, filed)
            if quarter == newest_before or next_session == len(days) or (days[next_session] - filed).days > GAP_DAYS_MAX:
                continue
            now = growth_on_year(known, quarter)
            before = growth_on_year(known, known[quarter][0] - timedelta(days=1))
            if now is None or before is None or now[0] <= 0 or now[0] - before[0] < 0.05:
                continue
            rise = now[0] - before[0]
            inputs = {
                "filed_date": filed.isoformat(), "growth": round(now[0], DECIMALS),
                "growth_before": round(before[0], DECIMALS), "period_end": quarter.isoformat(),
                "revenue": now[1], "revenue_year_before": now[2],
            }
            found.append((symbol, days[next_session], "revenue_acceleration", 1, min(1.0, rise - 0.05), "medium",
                          rise, 0.05, compact(inputs)))
    return published(pl.DataFrame(found, SIGNAL_SCHEMA, orient="row"))


def composite_signals(signals: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """composite_score: the mean of direction * strength * weight over the active signals, itself left out.

    A signal is active from active_from through valid_until, both included. A row is emitted on each session on which the
    set of active signals differs from the session's before: one or more begin, or the session before was someone's last.
    An emptied set scores 0 with direction 0, so that no score outlives its signals. A row holds until the next one.
    """
    placed = signals.join(bars.select(*RUN, "row", pl.col("date").alias("active_from")), on=["symbol", "active_from"])
    days = {key: frame["date"].to_list() for key, frame in bars.group_by(RUN, maintain_order=True)}
    found = []
    for key, group in placed.sort("symbol", "active_from", "signal").group_by(RUN, maintain_order=True):
        spans = [
            (row, row + HORIZON_SESSIONS[horizon], direction, direction * strength * HORIZON_WEIGHT[horizon])
            for row, horizon, direction, strength in group.select("row", "horizon", "direction", "strength").iter_rows()
        ]
        changes = {first for first, *_ in spans} | {last + 1 for _, last, *_ in spans if last < len(days[key])}
        for row in sorted(changes):
            active = [(direction, score) for first, last, direction, score in spans if first <= row <= last]
            bullish = sum(direction > 0 for direction, _ in active)
            # fsum is exact whatever the order, so ties round the same way everywhere.
            value = round(math.fsum(score for _, score in active) / len(active), DECIMALS) if active else 0.0
            inputs = {"active": len(active), "bearish": len(active) - bullish, "bullish": bullish}
            found.append((key[0], days[key][row - 1], "composite_score", (value > 0) - (value < 0), abs(value), "medium",
                          value, 0.0, compact(inputs)))
    return published(pl.DataFrame(found, SIGNAL_SCHEMA, orient="row"))


def with_validity(signals: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """valid_until = 10, 65 or 130 sessions after active_from; past the run's last session, weekdays stand for sessions."""
    here = bars.select(*RUN, "row", pl.col("date").alias("active_from"))
    there = bars.select(*RUN, pl.col("row").alias("last_row"), pl.col("date").alias("session"))
    run_end = bars.group_by(RUN).agg(pl.col("row").max().alias("run_rows"), pl.col("date").max().alias("run_end"))
    placed = (
        signals.join(here, on=["symbol", "active_from"])
        .with_columns(last_row=ROW + pl.col("horizon").replace_strict(HORIZON_SESSIONS, return_dtype=pl.Int64))
        .join(there, on=[*RUN, "last_row"], how="left")
        .join(run_end, on=RUN)
    )
    weekdays_past = pl.max_horizontal(pl.col("last_row") - pl.col("run_rows"), 0)
    valid_until = pl.col("session").fill_null(pl.col("run_end").dt.add_business_days(weekdays_past))
    return placed.with_columns(valid_until=valid_until).select(*SIGNAL_COLUMNS[:-1], "valid_until", "inputs")


def signal(bars: pl.DataFrame, technical: pl.DataFrame, fundamental: pl.DataFrame) -> pl.DataFrame:
    """Every signal, by key: prices count at their own close, a filing from the next session, the composite over them."""
    simple = pl.concat([price_signals(bars, technical), revenue_signals(fundamental, bars)])
    everything = pl.concat([simple, composite_signals(simple, bars)])
    return with_validity(everything, bars).sort("symbol", "active_from", "signal")


def social_daily(technical: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """SYNTHETIC mention counts, one row a session; nothing here was ever posted by anyone.

    posts = base * exp(mood + 12 min(|return_1d|, 0.15) + 0.8 if the symbol had an event on or since the session before),
    mood = 0.8 mood[-1] + 0.2 z. Each post scores +1, 0 or -1: sentiment_mean = (positive - negative) / posts, and
    sentiment_stddev is the population sigma of those scores.
    """
    event_days = {key[0]: set(frame["event_date"]) for key, frame in events.group_by("symbol")}
    found = []
    for (symbol,), frame in technical.group_by("symbol", maintain_order=True):
        dice = random.Random(f"{SOCIAL_SEED} {symbol}")
        mood, before = 0.0, None
        for day, change in frame.select("date", pl.col("return_1d").fill_null(0.0)).iter_rows():
            mood = 0.8 * mood + 0.2 * dice.gauss(0, 1)
            eventful = any((before or day - timedelta(days=1)) < event <= day for event in event_days.get(symbol, ()))
            heat = mood + 12 * min(abs(change), 0.15) + 0.8 * eventful
            posts = max(1, round(SOCIAL_POSTS_A_DAY[symbol] * math.exp(heat)))
            authors = max(1, round(posts * dice.uniform(0.55, 0.85)))
            tilt = max(-0.2, min(0.2, 2 * change))
            positive = round(posts * max(0.02, 0.28 + tilt + dice.gauss(0, 0.03)))
            negative = round(posts * max(0.02, 0.24 - tilt + dice.gauss(0, 0.03)))
            positive = min(positive, posts)
            negative = min(negative, posts - positive)
            mean = (positive - negative) / posts
            stddev = math.sqrt(max(0.0, (positive + negative) / posts - mean * mean))
            found.append((symbol, day, posts, authors, positive, negative, posts - positive - negative, mean, stddev))
            before = day
    schema = {
        "symbol": pl.String, "date": pl.Date, "posts": pl.Int32, "unique_authors": pl.Int32, "positive_posts": pl.Int32,
        "negative_posts": pl.Int32, "neutral_posts": pl.Int32, "sentiment_mean": pl.Float64, "sentiment_stddev": pl.Float64,
    }
    return published(pl.DataFrame(found, schema, orient="row")).with_columns(source=pl.lit("synthetic"))


def headline(event: dict[str, object]) -> str:
    """One sentence without its full stop, of the event's facts only.

    An index event bears the index's own name for the company, which tells a rename from a stay; others today's name.
    A filing whose facts are all from its cover has no known period end, so the fiscal period it states is named.
    """
    company, form, index = event["company_name"], event["form"], event["publisher"]
    member = event["source_name"] or company
    match event["event_type"]:
        case "quarterly_report" | "annual_report":
            fiscal = f"fiscal year {event['filing_fiscal_year']}"
            if event["filing_fiscal_period"] != "FY":
                fiscal = f"{event['filing_fiscal_period']} of {fiscal}"
            period = f"the period ended {event['period_end']}" if event["period_end"] else fiscal
            return f"{company} filed its {form} for {period}"
        case "other_filing":
            return f"{company} filed an {form} with figures to {event['period_end']}"
        case "index_added" if index == "NASDAQ-100" and event["event_date"] == NASDAQ_100_RECORD_START:
            return f"{member} was in the {index} when the record of its members began"
        case "index_added":
            return f"{member} was added to the {index}"
        case "index_removed":
            return f"{member} was removed from the {index}"
        case "ticker_change":
            return f"{company} changed its ticker from {event['symbol']} to {event['current_symbol']}"
    raise ValueError(f"no headline for event type {event['event_type']}")


def news(events: pl.DataFrame, fundamental: pl.DataFrame, membership: pl.DataFrame, profile: pl.DataFrame) -> pl.DataFrame:
    """The events as news: a headline each, published_at = midnight UTC of event_date (the day is all that is known).

    A filing's period end = the latest of its facts, cover counts left out, because those are dated after the period.
    """
    filings = fundamental.group_by("accession_number").agg(
        pl.col("period_end").filter(pl.col("metric") != COVER_METRIC).max(),
        pl.col("filing_fiscal_year", "filing_fiscal_period").first(),
    )
    index_names = {"sp500": "S&P 500", "nasdaq100": "NASDAQ-100", "dow30": "Dow Jones Industrial Average"}
    stays = membership.with_columns(
        publisher=pl.col("index_name").replace_strict(index_names),
        # The source files some names as in a phone book: "Home Depot (The)", "Lilly (Eli)".
        source_name=pl.col("source_name").str.replace(r"^(.*) \((The|Eli)\)$", "${2} ${1}"),
    )
    entries = pl.concat([
        stays.select("symbol", "publisher", pl.col(day).alias("event_date"), "source_name", event_type=pl.lit(event_type))
        for day, event_type in (("added", "index_added"), ("removed", "index_removed"))
    ])
    told = (
        events.join(profile.select("symbol", "company_name", "current_symbol"), on="symbol", how="left")
        .join(filings, on="accession_number", how="left")
        .join(entries, on=["symbol", "publisher", "event_date", "event_type"], how="left")
        .sort("event_id")
    )
    one_ticker, both_tickers = pl.concat_list("symbol"), pl.concat_list("symbol", "current_symbol")
    return told.select(
        pl.col("event_id").alias("news_id"),
        pl.col("event_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("published_at"),
        pl.Series("headline", [headline(event) for event in told.iter_rows(named=True)], dtype=pl.String),
        "publisher",
        pl.when(pl.col("event_type") == "ticker_change").then(both_tickers).otherwise(one_ticker).alias("symbols"),
        pl.col("event_type").alias("category"),
        pl.lit(None, dtype=pl.String).alias("url"),
        "form", "accession_number", "source",
    )


def main() -> None:
    """Reads the five files of facts in --data and writes the four that follow from them beside them."""
    parser = argparse.ArgumentParser(description="Derive the demo's marts and signals from its facts.")
    parser.add_argument("--data", type=Path, default=Path(__file__).with_name("data"), help="default: %(default)s")
    data = parser.parse_args().data

    facts = {name: pl.read_parquet(data / f"{name}.parquet")
             for name in ("price_daily", "fundamental", "profile", "index_membership", "news_event")}
    sessions = bars(facts["price_daily"])
    technical = technical_daily(sessions)
    derived = {
        "technical_daily": technical,
        "signal": signal(sessions, technical, facts["fundamental"]),
        "social_daily": social_daily(technical, facts["news_event"]),
        "news": news(facts["news_event"], facts["fundamental"], facts["index_membership"], facts["profile"]),
    }
    for name, frame in derived.items():
        frame.write_parquet(data / f"{name}.parquet", compression="zstd", compression_level=19)
        print(f"{name}: {frame.height} rows")


if __name__ == "__main__":
    main()
