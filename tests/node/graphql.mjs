// The audits of npm graphql-http against a server: `node graphql.mjs MODULES URL TOKEN`. Prints each that is not met.
import { pathToFileURL } from "node:url";

const [modules, url, token] = process.argv.slice(2);
const { serverAudits } = await import(pathToFileURL(`${modules}/graphql-http/lib/index.mjs`).href);

const fetchFn = (target, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("authorization", `Bearer ${token}`);
  return fetch(target, { ...init, headers });
};

const audits = serverAudits({ url: `${url}/graphql`, fetchFn });
const missed = [];
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== "ok") missed.push(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
}
console.log(JSON.stringify({ audits: audits.length, missed }, null, 2));
