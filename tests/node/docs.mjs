// Looks at /docs as a person does: docs.mjs URL TOKEN... types each token in turn, and prints as JSON what the page
// showed, what it asked of whom, and what it complained of.
import { chromium } from "./chromium.mjs";

const [url, ...tokens] = process.argv.slice(2);
const browser = await chromium();
try {
  const page = await browser.page();
  const requests = new Set();
  const complaints = [];
  page.on((method, params) => {
    if (method === "Network.requestWillBeSent") requests.add(params.request.url);
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.exception?.description ?? "?");
    // That a refused token is answered with 401 is logged as well.
    if (method === "Log.entryAdded" && params.entry.level === "error" && params.entry.source !== "network") {
      complaints.push(params.entry.text);
    }
    if (method === "Runtime.consoleAPICalled" && params.type === "error") complaints.push(JSON.stringify(params.args));
  });

  const texts = (selector) =>
    page.evaluate(`[...document.querySelectorAll(${JSON.stringify(selector)})].map((node) => node.textContent.trim())`);
  const visible = (selector) => page.evaluate(`document.querySelector(${JSON.stringify(selector)}).checkVisibility()`);
  const click = (selector) => page.evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`);

  await page.open(`${url}/docs`);
  const welcome = (await texts("#welcome"))[0];
  const shown = [];
  for (const token of tokens) {
    // What was open before would be open again, and a click would close it.
    await page.evaluate(`history.replaceState(null, "", location.pathname)`);
    await page.evaluate(`document.getElementById("token").select()`);
    await page.type(token);
    await page.evaluate(`document.getElementById("said").textContent = ""`);
    await page.press("Enter");
    await page.until(`document.getElementById("said").textContent`);
    const said = (await texts("#said"))[0];
    const welcomes = await visible("#welcome");
    if (!welcomes) await page.until(`document.querySelector("#document .opblock-tag")`);
    const datasets = await page.evaluate(
      `[...document.querySelectorAll("#document .opblock-tag")].map((tag) => tag.dataset.tag)`,
    );
    let parameters = [];
    let answer = null;
    if (datasets.includes("price_daily")) {
      const rows = "#operations-price_daily-listPriceDailyRows";
      await click(`#document [data-tag="price_daily"]`);
      await page.until(`document.querySelector("${rows} .opblock-summary-control")`);
      await click(`${rows} .opblock-summary-control`);
      await page.until(`document.querySelector("${rows} .try-out__btn")`);
      parameters = await page.evaluate(
        `[...document.querySelectorAll("${rows} tr[data-param-name]")].map((row) => row.dataset.paramName)`,
      );
      await click(`${rows} .try-out__btn`);
      await page.until(`document.querySelector("${rows} .execute")`);
      await click(`${rows} .execute`);
      await page.until(`document.querySelector("${rows} .live-responses-table tr.response .response-col_status")`);
      answer = [
        (await texts(`${rows} .live-responses-table tr.response .response-col_status`))[0],
        (await texts(`${rows} .live-responses-table .microlight`))[0],
      ];
    }
    const text = (await texts("#document"))[0];
    shown.push({ said, welcomes, datasets, parameters, answer, text });
  }
  const stored = await page.evaluate(`localStorage.length + sessionStorage.length + document.cookie.length`);
  console.log(JSON.stringify({ welcome, shown, stored, requests: [...requests], complaints }));
} finally {
  await browser.close();
}
