// What a role sees, it may open: as each role, every link on every page that is reached leads to a page. And links on other
// sites lead to where they say, for whoever is signed in.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { startServer } from "../javascript/support/server.js";
import { caller } from "./support/api.js";
import { launch } from "./support/browser.js";

const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
const PASSWORD = "four words in a row";
/** More pages than there are: a walk that goes round in circles ends. */
const PAGES = 500;

let browser, server, receiver, api, operator, apps;

/** Sends a form as a page of ours would; the cookie and the text of the answer. */
async function send(path, fields, cookie = "") {
  const answer = await fetch(server.url + path, {
    method: "POST",
    headers: { cookie, "sec-fetch-site": "same-origin" },
    body: new URLSearchParams(fields),
    redirect: "manual",
  });
  assert.ok(answer.status < 400, `${path}: ${answer.status} ${await answer.clone().text()}`);
  return { cookie: answer.headers.get("set-cookie")?.split(";")[0], text: await answer.text() };
}

/** The session of somebody who was invited to all applications. */
async function invited(role) {
  let cookie = "";
  for (const app of apps) {
    const { text } = await send(`/applications/${app.id}/people`, { role, for: "" }, operator);
    const key = text.match(/invitation\?key=([\w-]+)/)[1];
    if (cookie) await send("/invitation/join", { key }, cookie);
    else ({ cookie } = await send("/invitation", { key, name: `the ${role}`, email: `${role}@example.edu`, password: PASSWORD }));
  }
  return cookie;
}

async function portal(capabilities) {
  const access = await api("POST", `/auth/app-portal-access/${apps[0].id}`, capabilities ? { capabilities } : {});
  return (await send("/portal", { key: access.token })).cookie;
}

before(async () => {
  browser = await launch();
  receiver = createServer((request, response) => {
    request.resume();
    response.writeHead(Number(request.url.slice(1, 4)) || 200, { "content-type": "application/json" }).end("{}");
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const url = `http://127.0.0.1:${receiver.address().port}`;
  server = await startServer();
  api = caller(server, server.token(ORGANIZATION));
  apps = [];
  for (const platform of ["openedx", "replit", "canvas", "instruqt"]) {
    apps.push(await api("POST", "/app/", { name: `Of ${platform}`, platform }));
  }
  await api("POST", "/event-type/", {
    name: "lesson.began", description: "A lesson began.", schemas: { 1: { type: "object", examples: [{ room: 7 }] } },
  });
  for (const app of apps) {
    for (const status of [200, 500]) await api("POST", `/app/${app.id}/endpoint/`, { url: `${url}/${status}`, onlySelected: false });
    await api("POST", `/app/${app.id}/msg/`, { eventType: "lesson.began", tags: ["spring"], payload: { room: 7 } });
  }
  const filter = { filter: "StudentLoginRequested", url: `${url}/200` };
  await api("POST", `/app/${apps[0].id}/webfilter/`, filter);
  await api("POST", `/app/${apps[0].id}/webfilter/run`, { filter: filter.filter, payload: { data: { user: { username: "ada" } } } });
  ({ cookie: operator } = await send("/sign-in", { token: server.signInLink(server.url) }));
});

after(async () => {
  await browser?.close();
  receiver?.closeAllConnections();
  receiver?.close();
  await server?.stop();
});

/** Follows every link of the pages as they come, pages of lists aside; answers those that lead nowhere. */
async function walk(cookie, from) {
  const seen = new Set([from]);
  const [bad, open] = [[], [[from, "(start)"]]];
  while (open.length > 0 && seen.size < PAGES) {
    const [path, on] = open.shift();
    const answer = await fetch(server.url + path, { headers: { cookie } });
    if (answer.status >= 400 || new URL(answer.url).pathname === "/sign-in") {
      bad.push(`${answer.status} ${path}, linked on ${on}`);
    }
    const text = await answer.text();
    if (!answer.headers.get("content-type")?.startsWith("text/html") || path.startsWith("/docs")) continue;
    for (const [, href] of text.matchAll(/<a [^>]*?href="([^"]*)"/g)) {
      const to = new URL(href.replaceAll("&amp;", "&").replaceAll("&#38;", "&"), answer.url);
      const next = to.pathname + to.search;
      // One event type, one page of a list stand for all.
      const kind = next.replace(/\/events\/[^/?]+/, "/events/one").replace(/=(msg|audit|user|app)_\w+/, "=one");
      if (to.origin !== server.url || seen.has(kind)) continue;
      seen.add(kind);
      open.push([next, path]);
    }
  }
  assert.ok(seen.size < PAGES, "the walk did not end");
  return { bad, pages: seen.size };
}

for (const role of ["operator", "owner", "assistant", "viewer"]) {
  test(`every link that ${role === "operator" || role === "owner" || role === "assistant" ? "an" : "a"} ${role} sees leads somewhere`, async (t) => {
    const { bad, pages } = await walk(role === "operator" ? operator : await invited(role), "/applications");
    t.diagnostic(`${pages} pages`);
    assert.deepEqual(bad, []);
    assert.ok(pages > 30, `only ${pages} pages were found`);
  });
}

for (const [name, capabilities] of [["", undefined], [" that only shows", ["ViewBase"]]]) {
  test(`every link in a portal${name} leads somewhere`, async (t) => {
    const { bad, pages } = await walk(await portal(capabilities), `/applications/${apps[0].id}`);
    t.diagnostic(`${pages} pages`);
    assert.deepEqual(bad, []);
  });
}

test("a link on another site leads to where it says, signed in", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(server.signInLink(server.url));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/applications");
  const to = `${server.url}/applications/${apps[0].id}/messages?tag=spring`;
  const elsewhere = createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>Mail</title><a href="${to}">Look</a>`);
  });
  elsewhere.listen(0);
  await once(elsewhere, "listening");
  // By name: for a browser that is another site than 127.0.0.1.
  await page.goto(`http://localhost:${elsewhere.address().port}/`);
  await page.getByRole("link", { name: "Look" }).click();
  await page.getByRole("heading", { name: "Messages", exact: true }).waitFor();
  assert.equal(page.url(), to);
  assert.equal(await page.locator("table tbody tr").count(), 1);
  // Whoever is not signed in gets to sign in, and does not go round in circles.
  await context.clearCookies();
  await page.goto(`http://localhost:${elsewhere.address().port}/`);
  await page.getByRole("link", { name: "Look" }).click();
  await page.waitForURL("**/sign-in");
  elsewhere.closeAllConnections();
  elsewhere.close();
  await context.close();
});
