// A headless Chromium over its debugging pipe: nothing to install beside the browser itself.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Longer than any step takes on a busy machine. */
const STEP_MILLIS = 30_000;

export async function chromium() {
  const profile = mkdtempSync(join(tmpdir(), "martello-chromium-"));
  const process_ = spawn(
    "chromium",
    [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-extensions",
      "--no-first-run",
      "--window-size=1280,1000",
      "--remote-debugging-pipe",
      // No name is ever looked up: whatever the page asks elsewhere fails, and is seen.
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
      `--user-data-dir=${profile}`,
    ],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
  );
  const [, , , input, output] = process_.stdio;
  const waiting = new Map();
  const listeners = [];
  let last = 0;
  let rest = "";

  output.setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const message of messages.map((one) => JSON.parse(one))) {
      const reply = waiting.get(message.id);
      waiting.delete(message.id);
      if (reply && message.error) reply.reject(new Error(message.error.message));
      else if (reply) reply.resolve(message.result);
      else for (const listener of listeners) listener(message.method, message.params);
    }
  });
  const gone = new Promise((_, reject) => {
    process_.on("error", reject);
    process_.on("exit", (code) => reject(new Error(`chromium ended with ${code}`)));
  });
  gone.catch(() => {});

  function send(method, params = {}, sessionId = undefined) {
    const id = ++last;
    input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const reply = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    return Promise.race([reply, gone, after(STEP_MILLIS, method)]);
  }

  async function page() {
    const { targetId } = await send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
    const tell = (method, params) => send(method, params, sessionId);
    for (const domain of ["Page", "Network", "Runtime", "Log"]) await tell(`${domain}.enable`);

    /** The value of an expression in the page; a promise is awaited. */
    async function evaluate(expression) {
      const { result, exceptionDetails } = await tell("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    }

    return {
      tell,
      evaluate,
      on: (listener) => listeners.push(listener),
      async open(url) {
        const loaded = new Promise((resolve) => {
          listeners.push((method) => method === "Page.loadEventFired" && resolve());
        });
        await tell("Page.navigate", { url });
        await Promise.race([loaded, after(STEP_MILLIS, url)]);
      },
      /** Waits until an expression is true. */
      async until(expression) {
        const deadline = Date.now() + STEP_MILLIS;
        while (!(await evaluate(`Boolean(${expression})`))) {
          if (Date.now() > deadline) throw new Error(`never came true: ${expression}`);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      },
      type: (text) => tell("Input.insertText", { text }),
      async press(key) {
        const text = key === "Enter" ? "\r" : key;
        await tell("Input.dispatchKeyEvent", { type: "keyDown", key, code: key, text });
        await tell("Input.dispatchKeyEvent", { type: "keyUp", key, code: key });
      },
    };
  }

  async function close() {
    const exited = new Promise((resolve) => process_.once("exit", resolve));
    await Promise.race([send("Browser.close"), gone]).catch(() => {});
    await Promise.race([exited, after(STEP_MILLIS, "the end of chromium")]).catch(() => process_.kill("SIGKILL"));
    // Its helpers may still be writing for a moment.
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  return { page, close };
}

function after(millis, what) {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no answer within ${millis} ms: ${what}`)), millis).unref();
  });
}
