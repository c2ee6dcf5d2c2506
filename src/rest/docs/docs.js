// Shows the document of the token's role, and asks with that token. The token stays in this page: it is stored nowhere.
"use strict";

const token = document.getElementById("token");
const button = document.querySelector("#access button");
const said = document.getElementById("said");
const welcome = document.getElementById("welcome");
const shown = document.getElementById("document");

function say(text, failed) {
  said.textContent = text;
  said.className = failed ? "failed" : "";
}

/** The document of a token's role; what went wrong is thrown as a text. */
async function ask(bearer) {
  let answer;
  try {
    answer = await fetch("openapi.json", { headers: { Authorization: `Bearer ${bearer}` } });
  } catch {
    throw "The server does not answer.";
  }
  const body = await answer.json();
  if (!answer.ok) throw `${body.title}: ${body.detail}.`;
  return body;
}

async function show(event) {
  event.preventDefault();
  const bearer = token.value.trim();
  // What an earlier token showed is not this one's.
  shown.replaceChildren();
  welcome.hidden = false;
  say("");
  button.disabled = true;
  try {
    const spec = await ask(bearer);
    const page = document.createElement("div");
    shown.append(page);
    SwaggerUIBundle({
      domNode: page,
      spec,
      deepLinking: true,
      defaultModelsExpandDepth: 0,
      displayRequestDuration: true,
      docExpansion: "none",
      requestInterceptor: (request) => {
        request.headers.Authorization = `Bearer ${bearer}`;
        return request;
      },
    });
    welcome.hidden = true;
    // Beside each dataset's own tag there are `datasets`, `files` and `caller`.
    const datasets = spec.tags.length - 3;
    say(`This token may ask ${datasets} ${datasets === 1 ? "dataset" : "datasets"}.`);
  } catch (error) {
    say(String(error), true);
  } finally {
    button.disabled = false;
  }
}

document.getElementById("origin").textContent = location.origin;
document.getElementById("access").addEventListener("submit", show);
