// A world for browser tests: the real server with an operator signed in, and a receiver.

import { createServer } from "node:http";
import { once } from "node:events";
import { startServer } from "../../javascript/support/server.js";
import { caller } from "./api.js";
import { HOSTILE, check } from "./browser.js";
import { signedIn } from "./page.js";

export { HOSTILE, SHOTS, check, launch } from "./browser.js";

export const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";

/** Answers what the path says: `/500` answers 500, with a hostile body; `/hang` does not answer. Keeps what arrived. */
export async function startReceiver() {
  const receiver = { mended: false, requests: [] };
  const http = createServer((request, response) => {
    request.resume();
    receiver.requests.push({ url: request.url, headers: request.headers });
    if (request.url.startsWith("/hang") && !receiver.mended) return;
    const status = receiver.mended ? 200 : Number(request.url.slice(1, 4)) || 200;
    response.writeHead(status, { "content-type": "text/html", "x-hostile": "<b>" }).end(`answered ${status} ${HOSTILE}`);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  receiver.url = `http://127.0.0.1:${http.address().port}`;
  receiver.stop = () => { http.closeAllConnections(); http.close(); };
  return receiver;
}

/** A server with an operator signed in. */
export async function startWorld() {
  const server = await startServer();
  const receiver = await startReceiver();
  const { browser, page } = await signedIn(server);
  return {
    server,
    receiver,
    browser,
    context: page.context(),
    page,
    go: (path) => page.goto(server.url + path),
    button: (name) => page.getByRole("button", { name, exact: true }),
    link: (name) => page.getByRole("link", { name, exact: true }),
    /** What every page has to be. */
    check: (name) => check(page, name),
    api: caller(server, server.token(ORGANIZATION)),
    async stop() {
      await browser.close();
      receiver.stop();
      await server.stop();
    },
  };
}
