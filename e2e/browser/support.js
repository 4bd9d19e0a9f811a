// What the browser tests share: the real server, a receiver, a browser, and the check that every page has to pass.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { startServer } from "../javascript/support/server.js";

export const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
export const HOSTILE = `<script>window.hacked=1</script><img src=x onerror="window.hacked=1">"'&`;
export const SHOTS = new URL("../../target/screenshots/", import.meta.url).pathname;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });

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
  mkdirSync(SHOTS, { recursive: true });
  const server = await startServer();
  const receiver = await startReceiver();
  const token = server.token(ORGANIZATION);
  const browser = await launch();
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  await page.goto(server.signInLink(server.url));
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.waitForURL("**/applications");
  return {
    server,
    receiver,
    browser,
    context,
    page,
    go: (path) => page.goto(server.url + path),
    button: (name) => page.getByRole("button", { name, exact: true }),
    link: (name) => page.getByRole("link", { name, exact: true }),
    check: (name) => check(page, name),
    async api(method, path, body) {
      const answer = await fetch(`${server.url}/api/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: body && JSON.stringify(body),
      });
      assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
      return answer.status === 204 ? null : answer.json();
    },
    async stop() {
      await browser.close();
      receiver.stop();
      await server.stop();
    },
  };
}

/** No violation that axe finds, nothing scrolls sideways on a phone, nothing hostile ran; a screenshot of each look. */
export async function check(page, name) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    const { violations } = await page.evaluate(`${AXE}; axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`);
    const found = violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
    assert.deepEqual(found, [], `${name}, ${scheme}`);
    await page.screenshot({ path: `${SHOTS}${name}-${scheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 360, height: 740 });
  const wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  await page.screenshot({ path: `${SHOTS}${name}-phone.png`, fullPage: true });
  await page.setViewportSize({ width: 1280, height: 900 });
  assert.equal(wide, 0, `${name} scrolls sideways on a phone`);
  assert.equal(await page.evaluate("window.hacked"), undefined, name);
}
