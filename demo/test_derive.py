"""Checks derive.py from outside: what it wrote, against slow loops over lists that follow the definitions alone.

Run from the repository's root: `python -m unittest demo/test_derive.py`. Nothing of derive.py is imported; where it must
run, it runs as a program over a temporary copy of the data.
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import unittest
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

DEMO = Path(__file__).resolve().parent
FACTS = ["price_daily", "fundamental", "profile", "index_membership", "news_event"]
DERIVED = ["technical_daily", "signal", "social_daily", "news"]
# One unit of the last stored decimal: two right sums in another order may round to neighbours.
LAST_DECIMAL = 1.000001e-6

FIRST_ROW = {
    "sma_20": 20, "sma_50": 50, "sma_200": 200, "ema_12": 12, "ema_26": 26, "macd": 26, "macd_signal": 34, "macd_hist": 34,
    "rsi_14": 15, "bb_mid": 20, "bb_upper": 20, "bb_lower": 20, "bb_pct_b": 20, "atr_14": 15, "return_1d": 2,
    "log_return_1d": 2, "volatility_20d": 21, "momentum_12_1": 253, "high_52w": 252, "low_52w": 252, "drawdown_52w": 252,
    "volume_sma_20": 21, "relative_volume": 21, "obv": 1,
}
SESSIONS = {"short": 10, "medium": 65, "long": 130}
WEIGHT = {"short": 0.5, "medium": 1.0, "long": 1.0}


def read(name, data=DEMO / "data"):
    return pl.read_parquet(data / f"{name}.parquet")


def split_into_runs(rows):
    """{symbol: [run, ...]}, a run the rows of a symbol that lie at most ten days apart."""
    runs = {}
    for row in sorted(rows, key=lambda row: (row["symbol"], row["date"])):
        of_symbol = runs.setdefault(row["symbol"], [])
        if not of_symbol or (row["date"] - of_symbol[-1][-1]["date"]).days > 10:
            of_symbol.append([])
        of_symbol[-1].append(row)
    return runs


def smoothed(values, start, n, alpha):
    """values[start] is the first; the seed, at start + n - 1, is the mean of n."""
    out = [None] * len(values)
    for i in range(start + n - 1, len(values)):
        if i == start + n - 1:
            out[i] = math.fsum(values[start : start + n]) / n
        else:
            out[i] = out[i - 1] + alpha * (values[i] - out[i - 1])
    return out


def indicators(run, rows):
    """{row: {column: value}} of a run at the wanted rows, counted from 0."""
    a = [float(bar["adj_close"]) for bar in run]
    factor = [float(bar["adj_close"]) / float(bar["close"]) for bar in run]
    high = [float(bar["high"]) * f for bar, f in zip(run, factor)]
    low = [float(bar["low"]) * f for bar, f in zip(run, factor)]
    volume = [bar["volume"] for bar in run]
    n = len(run)

    ema_12, ema_26 = smoothed(a, 0, 12, 2 / 13), smoothed(a, 0, 26, 2 / 27)
    macd = [None if e is None else ema_12[i] - e for i, e in enumerate(ema_26)]
    macd_signal = smoothed(macd, 25, 9, 2 / 10)
    ups = [None] + [max(a[i] - a[i - 1], 0) for i in range(1, n)]
    downs = [None] + [max(a[i - 1] - a[i], 0) for i in range(1, n)]
    up, down = smoothed(ups, 1, 14, 1 / 14), smoothed(downs, 1, 14, 1 / 14)
    ranges = [None]
    for i in range(1, n):
        ranges.append(max(high[i] - low[i], abs(high[i] - a[i - 1]), abs(low[i] - a[i - 1])))
    atr = smoothed(ranges, 1, 14, 1 / 14)
    obv = [0]
    for i in range(1, n):
        obv.append(obv[-1] + (volume[i] if a[i] > a[i - 1] else -volume[i] if a[i] < a[i - 1] else 0))

    def sma(i, size):
        return math.fsum(a[i - size + 1 : i + 1]) / size if i + 1 >= size else None

    found = {}
    for i in rows:
        out = dict.fromkeys(FIRST_ROW)
        out.update(sma_20=sma(i, 20), sma_50=sma(i, 50), sma_200=sma(i, 200), ema_12=ema_12[i], ema_26=ema_26[i])
        out.update(macd=macd[i], macd_signal=macd_signal[i], atr_14=atr[i], obv=obv[i], bb_mid=sma(i, 20))
        if macd_signal[i] is not None:
            out["macd_hist"] = macd[i] - macd_signal[i]
        if up[i] is not None:
            if down[i] == 0:
                out["rsi_14"] = 50.0 if up[i] == 0 else 100.0
            else:
                out["rsi_14"] = 100 - 100 / (1 + up[i] / down[i])
        if i >= 19:
            window, middle = a[i - 19 : i + 1], sma(i, 20)
            sigma = math.sqrt(math.fsum((x - middle) ** 2 for x in window) / 20)
            upper, lower = middle + 2 * sigma, middle - 2 * sigma
            out.update(bb_upper=upper, bb_lower=lower)
            out["bb_pct_b"] = (a[i] - lower) / (upper - lower) if upper != lower else None
        if i >= 1:
            out.update(return_1d=a[i] / a[i - 1] - 1, log_return_1d=math.log(a[i] / a[i - 1]))
        if i >= 20:
            logs = [math.log(a[j] / a[j - 1]) for j in range(i - 19, i + 1)]
            mean = math.fsum(logs) / 20
            out["volatility_20d"] = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / 19) * math.sqrt(252)
            average = sum(volume[i - 20 : i]) / 20
            out.update(volume_sma_20=average, relative_volume=volume[i] / average if average else None)
        if i >= 252:
            out["momentum_12_1"] = a[i - 21] / a[i - 252] - 1
        if i >= 251:
            year = a[i - 251 : i + 1]
            out.update(high_52w=max(year), low_52w=min(year), drawdown_52w=a[i] / max(year) - 1)
        found[i] = out
    return found


def price_signals_of(run, technical):
    """[(day, signal, direction, strength, horizon, value, threshold)] of a run, from the indicators as stored."""
    a = [float(bar["adj_close"]) for bar in run]
    found = []

    def fire(i, signal, direction, horizon, value, threshold, scale):
        strength = min(1.0, abs(value - threshold) / scale)
        found.append((run[i]["date"], signal, direction, strength, horizon, value, threshold))

    for i in range(1, len(run)):
        old, new = technical[i - 1], technical[i]
        if old["sma_200"] is not None:
            was, now = old["sma_50"] - old["sma_200"], new["sma_50"] - new["sma_200"]
            if was <= 0 < now:
                fire(i, "golden_cross", 1, "long", now, 0, 0.02 * a[i])
            if was >= 0 > now:
                fire(i, "death_cross", -1, "long", now, 0, 0.02 * a[i])
        if old["macd_hist"] is not None:
            was, now = old["macd_hist"], new["macd_hist"]
            if was <= 0 < now:
                fire(i, "macd_bullish_cross", 1, "short", now, 0, 0.02 * a[i])
            if was >= 0 > now:
                fire(i, "macd_bearish_cross", -1, "short", now, 0, 0.02 * a[i])
        if old["rsi_14"] is not None:
            if old["rsi_14"] < 30 <= new["rsi_14"]:
                fire(i, "rsi_oversold_exit", 1, "short", new["rsi_14"], 30, 10)
            if old["rsi_14"] > 70 >= new["rsi_14"]:
                fire(i, "rsi_overbought_exit", -1, "short", new["rsi_14"], 70, 10)
        if old["bb_upper"] is not None:
            if a[i - 1] <= old["bb_upper"] and a[i] > new["bb_upper"]:
                fire(i, "bollinger_breakout_up", 1, "short", new["bb_pct_b"], 1, 1)
            if a[i - 1] >= old["bb_lower"] and a[i] < new["bb_lower"]:
                fire(i, "bollinger_breakout_down", -1, "short", new["bb_pct_b"], 0, 1)
        if old["high_52w"] is not None:
            others = a[i - 251 : i]
            if a[i] == new["high_52w"] and a[i - 1] != old["high_52w"]:
                fire(i, "new_52w_high", 1, "medium", 100 * (a[i] / max(others) - 1), 0, 1)
            if a[i] == new["low_52w"] and a[i - 1] != old["low_52w"]:
                fire(i, "new_52w_low", -1, "medium", 100 * (a[i] / min(others) - 1), 0, 1)
        if new["relative_volume"] is not None and new["relative_volume"] >= 3 and abs(new["return_1d"]) >= 0.02:
            fire(i, "volume_spike", 1 if new["return_1d"] > 0 else -1, "short", new["relative_volume"], 3, 3)
    return found


class Derived(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.technical, cls.signal, cls.social, cls.news = (read(name) for name in DERIVED)
        cls.runs = split_into_runs(read("price_daily").to_dicts())
        cls.technical_runs = split_into_runs(cls.technical.to_dicts())

    def signals(self, *names):
        return [row for row in self.signal.to_dicts() if row["signal"] in names]

    def assert_close(self, found, expected, what):
        if expected is None or found is None:
            self.assertEqual(found, expected, what)
        else:
            self.assertLessEqual(abs(found - expected), LAST_DECIMAL, f"{what}: {found} is not {expected}")


class TechnicalDaily(Derived):
    def test_has_its_columns_in_order_and_a_row_for_every_bar(self):
        self.assertEqual(self.technical.columns, ["symbol", "date", *FIRST_ROW])
        keys = read("price_daily").select("symbol", "date").sort("symbol", "date")
        assert_frame_equal(self.technical.select("symbol", "date"), keys)
        self.assertEqual(self.technical["obv"].dtype, pl.Int64)

    def test_every_column_is_what_slow_loops_find(self):
        for symbol in ("AAPL", "BRK-A", "FB", "GOOG", "IBM", "MSFT", "ZEN"):
            for number, run in enumerate(self.runs[symbol]):
                firsts = {row - 1 + step for row in FIRST_ROW.values() for step in (-1, 0, 1)}
                rows = sorted(i for i in firsts | {*range(0, len(run), 37), len(run) - 1} if 0 <= i < len(run))
                for i, expected in indicators(run, rows).items():
                    for column, value in expected.items():
                        found = self.technical_runs[symbol][number][i][column]
                        self.assert_close(found, value, f"{symbol} {run[i]['date']} {column}")

    def test_a_value_is_null_until_its_window_is_full_and_never_after(self):
        for symbol, runs in self.technical_runs.items():
            for run in runs:
                for column, first in FIRST_ROW.items():
                    filled = [row[column] is not None for row in run]
                    self.assertEqual(filled, [i + 1 >= first for i in range(len(run))], f"{symbol} {column}")

    def test_a_gap_restarts_every_window(self):
        for symbol in ("AAPL", "MSFT"):
            before, after = self.technical_runs[symbol]
            self.assertEqual((before[-1]["date"], after[0]["date"]), (date(2013, 3, 1), date(2014, 1, 2)))
            self.assertEqual({c: v for c, v in after[0].items() if v is not None and c in FIRST_ROW}, {"obv": 0})
            first_sma_20 = next(row["date"] for row in after if row["sma_20"] is not None)
            self.assertEqual(first_sma_20, date(2014, 1, 30))
            first_high = next(row["date"] for row in after if row["high_52w"] is not None)
            self.assertEqual(first_high, date(2014, 12, 31))
            self.assertTrue(all(row["momentum_12_1"] is None for row in after))

    def test_a_split_is_no_move(self):
        for day, ratio in ((date(2005, 2, 28), 2), (date(2014, 6, 9), 7)):
            run = next(run for run in self.runs["AAPL"] if run[0]["date"] <= day <= run[-1]["date"])
            i = next(i for i, bar in enumerate(run) if bar["date"] == day)
            self.assertAlmostEqual(float(run[i - 1]["close"] / run[i]["close"]), ratio, delta=0.1 * ratio)
            rows = {row["date"]: row for row in self.technical_runs["AAPL"][0] + self.technical_runs["AAPL"][1]}
            self.assertLess(abs(rows[day]["return_1d"]), 0.03)
            self.assertLess(rows[day]["atr_14"] / float(run[i]["adj_close"]), 0.05)

    def test_a_real_crash_is_a_move(self):
        row = self.technical.filter(pl.col("symbol") == "AAPL", pl.col("date") == date(2000, 9, 29)).row(0, named=True)
        self.assertAlmostEqual(row["return_1d"], -0.5187, places=4)


class Values(Derived):
    def test_floats_are_finite_and_have_six_decimals_and_no_negative_zero(self):
        for frame in (self.technical, self.signal, self.social):
            for column in frame.select(pl.selectors.float()).iter_columns():
                for value in column.drop_nulls():
                    self.assertTrue(math.isfinite(value), column.name)
                    self.assertEqual(value, round(value, 6), column.name)
                    self.assertFalse(value == 0 and math.copysign(1, value) < 0, column.name)

    def test_keys_are_unique_and_in_order(self):
        keys = {"technical": ["symbol", "date"], "signal": ["symbol", "active_from", "signal"],
                "social": ["symbol", "date"], "news": ["news_id"]}
        for name, key in keys.items():
            rows = getattr(self, name).select(key).rows()
            self.assertEqual(rows, sorted(set(rows)), name)


class Signal(Derived):
    def test_has_its_columns(self):
        self.assertEqual(self.signal.schema, {
            "symbol": pl.String, "active_from": pl.Date, "signal": pl.String, "direction": pl.Int32,
            "strength": pl.Float64, "horizon": pl.String, "value": pl.Float64, "threshold": pl.Float64,
            "valid_until": pl.Date, "inputs": pl.String,
        })

    def test_the_crosses_of_ibm_are_those_of_raw_prices(self):
        (run,) = self.runs["IBM"]
        averages = indicators(run, range(len(run)))
        crosses = {"golden_cross": [], "death_cross": []}
        for i in range(200, len(run)):
            was = averages[i - 1]["sma_50"] - averages[i - 1]["sma_200"]
            now = averages[i]["sma_50"] - averages[i]["sma_200"]
            if was <= 0 < now:
                crosses["golden_cross"].append(run[i]["date"])
            if was >= 0 > now:
                crosses["death_cross"].append(run[i]["date"])
        for name, literal in {
            "golden_cross": (10, date(2001, 5, 29), date(2013, 2, 13)),
            "death_cross": (9, date(2001, 9, 18), date(2012, 12, 5)),
        }.items():
            found = [row["active_from"] for row in self.signals(name) if row["symbol"] == "IBM"]
            self.assertEqual(found, crosses[name])
            self.assertEqual((len(found), found[0], found[-1]), literal)

    def test_price_signals_are_what_slow_loops_find(self):
        expected = {}
        for symbol, runs in self.runs.items():
            for run, technical in zip(runs, self.technical_runs[symbol]):
                for day, name, *rest in price_signals_of(run, technical):
                    expected[symbol, day, name] = rest
        names = {name for _, _, name in expected}
        self.assertEqual(len(names), 11)
        found = {(row["symbol"], row["active_from"], row["signal"]): row for row in self.signals(*names)}
        self.assertEqual(found.keys(), expected.keys())
        for key, (direction, strength, horizon, value, threshold) in expected.items():
            row = found[key]
            self.assertEqual((row["direction"], row["horizon"]), (direction, horizon), key)
            for column, number in (("strength", strength), ("value", value), ("threshold", threshold)):
                self.assert_close(row[column], number, f"{key} {column}")

    def test_revenue_acceleration_is_what_was_known_when_filed(self):
        facts = [row for row in read("fundamental").to_dicts()
                 if row["symbol"] == "AAPL" and row["metric"] == "revenue" and row["period_type"] == "quarter"]
        sessions = [bar["date"] for run in self.runs["AAPL"] for bar in run]

        def known(period_end_low, period_end_high, as_of):
            """The latest period end in a range of days and its revenue as known at a day."""
            candidates = [f for f in facts
                          if period_end_low <= f["period_end"] <= period_end_high and f["filed_date"] <= as_of]
            if not candidates:
                return None, None
            fact = max(candidates, key=lambda f: (f["period_end"], f["filed_date"], f["fact_id"]))
            return fact["period_end"], float(fact["value"])

        def growth(end, as_of):
            now, before = known(end, end, as_of)[1], known(end - timedelta(375), end - timedelta(355), as_of)[1]
            return None if now is None or before is None else now / before - 1

        expected = {}
        for filed in sorted({fact["filed_date"] for fact in facts}):
            newest, _ = known(date.min, date.max, filed)
            if newest == known(date.min, date.max, filed - timedelta(1))[0]:
                continue
            previous, _ = known(newest - timedelta(100), newest - timedelta(80), filed)
            active_from = next((day for day in sessions if day > filed), None)
            if previous is None or active_from is None or (active_from - filed).days > 10:
                continue
            now, before = growth(newest, filed), growth(previous, filed)
            if now is not None and before is not None and now > 0 and now - before >= 0.05:
                expected[active_from] = now - before
        found = {row["active_from"]: row for row in self.signals("revenue_acceleration")}
        self.assertEqual(sorted(found), sorted(expected))
        self.assertEqual(sorted(found), [
            date(2010, 4, 22), date(2010, 7, 22), date(2010, 10, 28), date(2011, 4, 25), date(2012, 1, 26),
            date(2014, 10, 28),
        ])
        for day, rise in expected.items():
            row = found[day]
            self.assertEqual((row["symbol"], row["direction"], row["horizon"]), ("AAPL", 1, "medium"))
            self.assert_close(row["value"], rise, f"{day} value")
            self.assert_close(row["strength"], min(1, rise - 0.05), f"{day} strength")
            self.assertLess(date.fromisoformat(json.loads(row["inputs"])["filed_date"]), day)

    def test_composite_score_changes_with_the_active_set_and_is_its_mean(self):
        expected = {}
        for symbol, runs in self.runs.items():
            of_symbol = [row for row in self.signal.to_dicts()
                         if row["symbol"] == symbol and row["signal"] != "composite_score"]
            for run in runs:
                row_of = {bar["date"]: i for i, bar in enumerate(run)}
                begun = [(row_of[s["active_from"]], s) for s in of_symbol if s["active_from"] in row_of]
                before = []
                for i, bar in enumerate(run):
                    active = [s for start, s in begun if start <= i <= start + SESSIONS[s["horizon"]]]
                    if active != before:
                        parts = [s["direction"] * s["strength"] * WEIGHT[s["horizon"]] for s in active]
                        expected[symbol, bar["date"]] = sum(parts) / len(parts) if parts else 0.0, len(parts)
                    before = active
        found = {(row["symbol"], row["active_from"]): row for row in self.signals("composite_score")}
        self.assertEqual(found.keys(), expected.keys())
        for key, (score, count) in expected.items():
            row = found[key]
            self.assert_close(row["value"], score, key)
            self.assertEqual(row["direction"], (row["value"] > 0) - (row["value"] < 0), key)
            self.assertEqual(row["strength"], abs(row["value"]), key)
            inputs = json.loads(row["inputs"])
            self.assertEqual((inputs["active"], inputs["bullish"] + inputs["bearish"]), (count, count), key)

    def test_valid_until_counts_sessions_then_weekdays(self):
        for symbol, runs in self.runs.items():
            for run in runs:
                days = [bar["date"] for bar in run]
                while len(days) < len(run) + 130:
                    day = days[-1] + timedelta(1)
                    while day.weekday() > 4:
                        day += timedelta(1)
                    days.append(day)
                row_of = {day: i for i, day in enumerate(days[: len(run)])}
                for row in self.signal.filter(pl.col("symbol") == symbol).to_dicts():
                    if row["active_from"] in row_of:
                        until = days[row_of[row["active_from"]] + SESSIONS[row["horizon"]]]
                        self.assertEqual(row["valid_until"], until, row)

    def test_strength_and_composite_keep_their_bounds(self):
        self.assertTrue(self.signal["strength"].is_between(0, 1).all())
        composite = self.signal.filter(pl.col("signal") == "composite_score")
        self.assertTrue(composite["value"].is_between(-1, 1).all())
        self.assertEqual(set(self.signal["direction"]), {-1, 0, 1})
        self.assertEqual(set(self.signal.filter(pl.col("direction") == 0)["signal"]), {"composite_score"})

    def test_inputs_are_compact_json_with_sorted_keys(self):
        for text in self.signal["inputs"]:
            inputs = json.loads(text)
            self.assertEqual(text, json.dumps(inputs, sort_keys=True, separators=(",", ":")))
            self.assertNotIn(None, inputs.values())


class SocialDaily(Derived):
    def test_says_it_is_synthetic_in_every_row(self):
        self.assertEqual(set(self.social["source"]), {"synthetic"})

    def test_has_a_row_for_every_bar(self):
        assert_frame_equal(self.social.select("symbol", "date"), self.technical.select("symbol", "date"))

    def test_the_parts_are_the_whole(self):
        for row in self.social.to_dicts():
            parts = [row["positive_posts"], row["negative_posts"], row["neutral_posts"]]
            self.assertEqual(sum(parts), row["posts"], row)
            self.assertGreaterEqual(min(parts), 0, row)
            self.assertTrue(1 <= row["unique_authors"] <= row["posts"], row)
            scores = [1] * parts[0] + [-1] * parts[1] + [0] * parts[2]
            mean = sum(scores) / len(scores)
            self.assert_close(row["sentiment_mean"], mean, row)
            sigma = math.sqrt(parts[0] / row["posts"] * (1 - mean) ** 2 + parts[1] / row["posts"] * (1 + mean) ** 2
                              + parts[2] / row["posts"] * mean**2)
            self.assert_close(row["sentiment_stddev"], sigma, row)

    def test_large_moves_and_filings_are_talked_about(self):
        rows = self.social.join(self.technical.select("symbol", "date", "return_1d"), on=["symbol", "date"])
        rows = rows.filter(pl.col("symbol") == "AAPL")
        still = rows.filter(pl.col("return_1d").abs() < 0.02)
        filed = read("news_event").filter(pl.col("symbol") == "AAPL", pl.col("form").is_not_null())["event_date"]
        quiet = still.filter(~pl.col("date").is_in(filed.implode()))["posts"].mean()
        self.assertGreater(rows.filter(pl.col("return_1d").abs() > 0.06)["posts"].mean(), 1.5 * quiet)
        self.assertGreater(still.filter(pl.col("date").is_in(filed.implode()))["posts"].mean(), 1.5 * quiet)


class News(Derived):
    def test_has_its_columns_and_an_item_for_every_event(self):
        self.assertEqual(self.news.schema, {
            "news_id": pl.Int64, "published_at": pl.Datetime("us", "UTC"), "headline": pl.String, "publisher": pl.String,
            "symbols": pl.List(pl.String), "category": pl.String, "url": pl.String, "form": pl.String,
            "accession_number": pl.String, "source": pl.String,
        })
        events = {row["event_id"]: row for row in read("news_event").to_dicts()}
        self.assertEqual(sorted(events), self.news["news_id"].to_list())
        for item in self.news.to_dicts():
            event = events[item["news_id"]]
            midnight = datetime.combine(event["event_date"], datetime.min.time(), timezone.utc)
            self.assertEqual(item["published_at"], midnight)
            self.assertEqual(item["symbols"][0], event["symbol"])
            self.assertEqual(item["category"], event["event_type"])
            self.assertIsNone(item["url"])
            for column in ("publisher", "form", "accession_number", "source"):
                self.assertEqual(item[column], event[column])

    def test_headlines_are_sentences_of_the_facts(self):
        headlines = dict(self.news.select("news_id", "headline").iter_rows())
        by_accession = dict(self.news.drop_nulls("accession_number").select("accession_number", "headline").iter_rows())
        for accession, sentence in {
            "0001193125-13-022339": "Apple Inc. filed its 10-Q for the period ended 2012-12-29",
            "0001193125-09-214859": "Apple Inc. filed its 10-K for the period ended 2009-09-26",
            "0001193125-10-012091": "Apple Inc. filed its 10-K/A for the period ended 2009-09-26",
            "0001193125-13-170623": "Apple Inc. filed an 8-K with figures to 2012-09-29",
            "0000019617-18-000092": "JPMorgan Chase filed its 10-Q for Q1 of fiscal year 2018",
            "0000019617-18-000057": "JPMorgan Chase filed its 10-K for fiscal year 2017",
        }.items():
            self.assertEqual(by_accession[accession], sentence)
        for news_id, sentence in {
            28: "The Home Depot was added to the S&P 500",
            40: "Nvidia was added to the S&P 500",
            42: "J.P. Morgan & Company was removed from the Dow Jones Industrial Average",
            125: "Apple Inc. was in the NASDAQ-100 when the record of its members began",
            1152: "Meta Platforms changed its ticker from FB to META",
        }.items():
            self.assertEqual(headlines[news_id], sentence)
        for sentence in headlines.values():
            self.assertRegex(sentence, r"^[A-Z0-9].* (filed|was|changed) ")
            self.assertNotRegex(sentence, r"None|null|nan|  |\.$")

    def test_a_report_never_ends_its_period_after_it_was_filed(self):
        for item in self.news.filter(pl.col("headline").str.contains("period ended")).to_dicts():
            end = date.fromisoformat(item["headline"][-10:])
            self.assertTrue(10 <= (item["published_at"].date() - end).days <= 130, item)

    def test_a_ticker_change_names_both_tickers(self):
        (item,) = self.news.filter(pl.col("category") == "ticker_change").to_dicts()
        self.assertEqual(item["symbols"], ["FB", "META"])
        others = self.news.filter(pl.col("category") != "ticker_change")
        self.assertEqual(set(others["symbols"].list.len()), {1})


class Program(Derived):
    def derive(self, facts):
        """Runs the program over facts in a temporary folder; {name: frame} of what it wrote."""
        with tempfile.TemporaryDirectory() as folder:
            for name, frame in facts.items():
                frame.write_parquet(Path(folder) / f"{name}.parquet")
            program = [sys.executable, str(DEMO / "derive.py"), "--data", folder]
            subprocess.run(program, check=True, capture_output=True)
            return {name: read(name, Path(folder)) for name in DERIVED}

    def test_the_committed_files_are_what_the_program_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in FACTS:
                shutil.copy(DEMO / "data" / f"{name}.parquet", folder)
            program = [sys.executable, str(DEMO / "derive.py"), "--data", folder]
            subprocess.run(program, check=True, capture_output=True)
            for name in DERIVED:
                assert_frame_equal(read(name, Path(folder)), read(name), check_exact=True)

    def test_nothing_looks_ahead(self):
        facts = {name: read(name) for name in FACTS}
        known_at = {"price_daily": "date", "fundamental": "filed_date", "news_event": "event_date"}
        for day in (date(2005, 3, 1), date(2010, 7, 22), date(2014, 10, 28)):
            with self.subTest(day=day):
                past = {name: frame.filter(pl.col(known_at[name]) <= day) if name in known_at else frame
                        for name, frame in facts.items()}
                then = self.derive(past)
                for name in ("technical_daily", "social_daily"):
                    assert_frame_equal(then[name], read(name).filter(pl.col("date") <= day), check_exact=True)
                whole = self.signal.filter(pl.col("active_from") <= day)
                self.assertGreater(whole.height, 100)
                # The days that were still to come were not yet known to be sessions, so only their side of `day` is told.
                until = pl.col("valid_until")
                seen = pl.when(until <= day).then(until).otherwise(pl.lit(date.max))
                assert_frame_equal(then["signal"].with_columns(seen), whole.with_columns(seen), check_exact=True)


if __name__ == "__main__":
    unittest.main()
