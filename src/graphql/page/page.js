"use strict";

// The token lives in this closure: it is in no storage, no address and no document.
(() => {
  const element = (id) => document.getElementById(id);
  const said = element("said");
  const FIRST = `# What you select comes back, and nothing else. Ctrl-Space completes, Ctrl-Enter asks.
{
  datasets {
    name
    title
    columns { name type unit }
  }
}
`;
  let root = null;
  let shown = 0;

  // What GraphiQL would keep beyond this page, it keeps in it.
  const kept = new Map();
  const storage = {
    get length() {
      return kept.size;
    },
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
    clear: () => kept.clear(),
  };

  const asking = (token) => async (question) => {
    const answer = await fetch("graphql", {
      method: "POST",
      credentials: "omit",
      headers: {
        Accept: "application/graphql-response+json, application/problem+json",
        Authorization: `Bearer ${token}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify(question),
    });
    return answer.json();
  };

  element("access").addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = element("token").value.trim();
    const ask = asking(token);
    const button = element("access").querySelector("button");
    button.disabled = true;
    root?.unmount();
    root = null;
    element("welcome").hidden = false;
    said.textContent = "";
    try {
      const answer = await ask({ query: "{ __schema { queryType { fields { name } } } }" });
      const fields = answer.data?.__schema.queryType.fields;
      if (!fields) {
        const [error] = answer.errors ?? [{ message: answer.detail ?? answer.title }];
        throw new Error(`The token is not accepted: ${error.message}.`);
      }
      element("welcome").hidden = true;
      shown += 1;
      root = ReactDOM.createRoot(element("graphiql"));
      const properties = {
        key: shown,
        fetcher: ask,
        storage,
        defaultQuery: FIRST,
        isHeadersEditorEnabled: false,
        shouldPersistHeaders: false,
      };
      root.render(React.createElement(GraphiQL, properties));
      said.className = "";
      said.textContent = `This token may ask ${fields.length} fields.`;
    } catch (error) {
      said.className = "failed";
      said.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
})();
