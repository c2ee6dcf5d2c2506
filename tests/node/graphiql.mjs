// Looks at /graphql as a person does: graphiql.mjs URL PICTURE TOKEN... types each token in turn, asks the question that is
// there, opens the documentation, and prints as JSON what the page showed, what it asked of whom, and what it complained of.
import { writeFileSync } from "node:fs";
import { chromium } from "./chromium.mjs";

const [url, picture, ...tokens] = process.argv.slice(2);
const browser = await chromium();
try {
  const page = await browser.page();
  const requests = new Set();
  const complaints = [];
  page.on((method, params) => {
    if (method === "Network.requestWillBeSent") requests.add(params.request.url);
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.exception?.description ?? "?");
    if (method === "Log.entryAdded" && params.entry.level === "error" && params.entry.source !== "network") {
      complaints.push(params.entry.text);
    }
  });
  const text = (selector) => page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? null`);

  await page.open(`${url}/graphql`);
  const shown = [];
  for (const token of tokens) {
    await page.evaluate(`document.getElementById("token").select()`);
    await page.type(token);
    await page.evaluate(`document.getElementById("said").textContent = ""`);
    await page.press("Enter");
    await page.until(`document.getElementById("said").textContent`);
    const said = await text("#said");
    if (await page.evaluate(`document.getElementById("graphiql").childElementCount === 0`)) {
      shown.push({ said, answer: null, documentation: null });
      continue;
    }
    await page.until(`document.querySelector(".graphiql-execute-button")`);
    await page.until(`document.querySelector(".graphiql-container")?.textContent.includes("datasets")`);
    await page.evaluate(`document.querySelector(".graphiql-execute-button").click()`);
    await page.until(`document.querySelector(".result-window .CodeMirror")?.CodeMirror.getValue().includes("data")`);
    const answer = await page.evaluate(`document.querySelector(".result-window .CodeMirror").CodeMirror.getValue()`);
    await page.evaluate(`document.querySelector(".graphiql-sidebar button").click()`);
    await page.until(`document.querySelector(".graphiql-doc-explorer")`);
    await page.until(`document.querySelector(".graphiql-doc-explorer .graphiql-doc-explorer-root-type a, .graphiql-doc-explorer a")`);
    await page.evaluate(`document.querySelector(".graphiql-doc-explorer .graphiql-doc-explorer-root-type a, .graphiql-doc-explorer a").click()`);
    await page.until(`document.querySelector(".graphiql-doc-explorer")?.textContent.includes("datasets")`);
    shown.push({ said, answer, documentation: await text(".graphiql-doc-explorer") });
    const { data } = await page.tell("Page.captureScreenshot", { format: "png" });
    writeFileSync(picture, Buffer.from(data, "base64"));
  }
  const stored = await page.evaluate(`localStorage.length + sessionStorage.length + document.cookie.length`);
  console.log(JSON.stringify({ shown, stored, requests: [...requests], complaints }));
} finally {
  await browser.close();
}
