// Shows the document of the token's role, and asks with that token. The token stays in this page: it is stored nowhere.
"use strict";

const token = document.getElementById("token");
const said = document.getElementById("said");

async function show(event) {
  event.preventDefault();
  const bearer = token.value.trim();
  said.textContent = "";
  let spec;
  try {
    const answer = await fetch("openapi.json", { headers: { Authorization: `Bearer ${bearer}` } });
    spec = await answer.json();
    if (!answer.ok) {
      said.textContent = `${spec.title}: ${spec.detail}`;
      return;
    }
  } catch (error) {
    said.textContent = `The server does not answer: ${error.message}`;
    return;
  }
  SwaggerUIBundle({
    dom_id: "#document",
    spec,
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "none",
    requestInterceptor: (request) => {
      request.headers.Authorization = `Bearer ${bearer}`;
      return request;
    },
  });
}

document.getElementById("access").addEventListener("submit", show);
said.textContent = "Without a token there is nothing to show: every role sees its own document.";
