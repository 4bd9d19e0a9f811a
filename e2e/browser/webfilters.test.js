// Webfilters in a real browser: list, form with every setting, log, test bench. Screenshots land in target/screenshots.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startServer } from "../javascript/support/server.js";
import { caller } from "./support/api.js";
import { HOSTILE, check, launchIn } from "./support/browser.js";

const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";

let server, receiver, profile, context, page, api, site, room;

async function startReceiver() {
  const http = createServer((request, response) => {
    request.resume();
    const [status, body] = receiver.answers[request.url] ?? [200, "{}"];
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { http, answers: {}, url: `http://127.0.0.1:${http.address().port}` };
}

const go = (path) => page.goto(server.url + path);
const button = (name) => page.getByRole("button", { name, exact: true });
const link = (name) => page.getByRole("link", { name, exact: true });
const here = (path = "") => `/applications/${site.id}/webfilters${path}`;

before(async () => {
  server = await startServer();
  receiver = await startReceiver();
  api = caller(server, server.token(ORGANIZATION));
  site = await api("POST", "/app/", { name: "Campus", platform: "openedx" });
  room = await api("POST", "/app/", { name: `Rooms ${HOSTILE}` });
  profile = mkdtempSync(join(tmpdir(), "schoolbell-browser-"));
  context = await launchIn(profile);
  page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(server.signInLink(server.url));
  await button("Sign in").click();
  await page.waitForURL("**/applications");
});

after(async () => {
  await context?.close();
  receiver?.http.closeAllConnections();
  receiver?.http.close();
  await server?.stop();
  if (profile) rmSync(profile, { recursive: true, force: true });
});

/** No violation that axe finds, nothing scrolls sideways on a phone, nothing hostile ran; a screenshot of each look. */
test("a webfilter is added with every setting, and what its filter cannot do is said beside the field", async () => {
  await go(`/applications/${site.id}`);
  await link("Webfilters").click();
  await check(page, "webfilters-empty");
  await link("Add the first webfilter").click();
  await page.locator("h1", { hasText: "Add a webfilter" }).first().waitFor();
  await page.getByLabel("Description").fill(`Only with an invitation ${HOSTILE}`);
  await page.getByLabel("Event").selectOption({ label: "IDV Page URL Requested" });
  await page.getByLabel("Webhook URL").fill(`${receiver.url}/login`);
  await page.getByLabel("Halt on 4xx").check();
  await page.getByLabel("Redirect on 4xx").fill("https://campus.example.edu/no");
  await page.getByLabel("Use WWW form encoding").check();
  await page.getByLabel("Deadline in milliseconds").fill("many");
  await button("Add webfilter").click();
  assert.match(await page.locator("#deadlineMs-problem").innerText(), /whole number/);
  await page.getByLabel("Deadline in milliseconds").fill("750");
  await button("Add webfilter").click();
  assert.match(await page.locator("#haltOn4xx-problem").innerText(), /cannot be halted/);
  assert.match(await page.locator("#redirectOn4xx-problem").innerText(), /cannot be halted/);
  assert.ok(await page.getByLabel("Use WWW form encoding").isChecked(), "what was typed stays");
  await check(page, "webfilter-refused");
  await page.getByLabel("Event").selectOption({ label: "Student Login Requested" });
  await button("Add webfilter").click();
  await page.getByText("The webfilter was added").waitFor();
  const [made] = (await api("GET", `/app/${site.id}/webfilter/`)).data;
  assert.deepEqual(
    [made.filter, made.encoding, made.haltOn4xx, made.redirectOn4xx, made.deadlineMs, made.enabled],
    ["StudentLoginRequested", "form", true, "https://campus.example.edu/no", 750, true],
  );
  await check(page, "webfilter");
});

test("its settings are changed, its secret revealed and rotated", async () => {
  await go(here());
  await page.locator("td a.row").first().click();
  await page.getByLabel("Use WWW form encoding").uncheck();
  await page.getByLabel("Disable filtering").check();
  await page.getByLabel("No answer in time").selectOption("halt");
  await page.getByLabel("Requests and rules of").selectOption("v21");
  await button("Save").click();
  await page.getByText("The webfilter was saved.").waitFor();
  const [changed] = (await api("GET", `/app/${site.id}/webfilter/`)).data;
  assert.deepEqual([changed.encoding, changed.disableFiltering, changed.onSilence, changed.wireVersion], ["json", true, "halt", "v21"]);
  await api("PATCH", `/app/${site.id}/webfilter/${changed.id}`, { disableFiltering: false, wireVersion: "v22", onSilence: "pass" });
  assert.equal(await page.locator("#secret").count(), 0);
  await button("Reveal").click();
  const secret = await page.locator("#secret").innerText();
  assert.match(secret, /^whsec_/);
  await link("Rotate the secret…").click();
  await page.locator("dialog").getByRole("button", { name: "Rotate secret" }).click();
  await page.getByText("The secret was rotated.").waitFor();
  await button("Reveal").click();
  assert.notEqual(await page.locator("#secret").innerText(), secret);
});

test("the test bench shows what answers would change or stop, given or real", async () => {
  await api("POST", `/app/${site.id}/webfilter/`, {
    filter: "StudentLoginRequested", url: `${receiver.url}/second`, description: "Second opinion", uid: "second",
  });
  await go(here("/bench"));
  assert.match(await page.getByLabel("Payload of Student Login Requested").inputValue(), /"username": "jane"/);
  const [first, second] = await page.locator("fieldset").all();
  await first.getByLabel("In this test it").selectOption("answer");
  await first.getByText("Its answer").click();
  await first.getByLabel("Body").fill(JSON.stringify({ data: { profile: { name: `J ${HOSTILE}` }, user: { password: "x" } } }));
  await second.getByLabel("In this test it").selectOption("out");
  await button("Run the test").click();
  const result = page.locator("#result");
  assert.match(await result.innerText(), /goes on with changed data/);
  assert.match(await result.locator("table").innerText(), /profile\.name[\s\S]*Jane Doe/);
  assert.match(await result.innerText(), /data\.user\.password is ignored: it is protected/);
  await check(page, "webfilter-bench-change");

  receiver.answers["/second"] = [200, JSON.stringify({ exception: { PreventLogin: "Not today" } })];
  await page.locator("fieldset").nth(1).getByLabel("In this test it").selectOption("ask");
  await button("Run the test").click();
  assert.match(await result.innerText(), /is refused/);
  assert.match(await result.innerText(), /PreventLogin/);
  await check(page, "webfilter-bench-refused");
  await page.locator("fieldset").nth(0).getByLabel("Status").fill("404");
  await button("Run the test").click();
  assert.match(await result.innerText(), /is stopped/);
  assert.match(await result.innerText(), /https:\/\/campus\.example\.edu\/no/);
  await page.getByLabel("Payload of Student Login Requested").fill("[1");
  await button("Run the test").click();
  assert.match(await page.locator("#payload-problem").innerText(), /not JSON/);
});

test("the log shows each run with what each answered", async () => {
  receiver.answers["/login"] = [200, JSON.stringify({ data: { user: { first_name: HOSTILE } } })];
  receiver.answers["/second"] = [200, "<html>"];
  const run = (payload) => api("POST", `/app/${site.id}/webfilter/run/`, { filter: "StudentLoginRequested", payload });
  await run({ user: { first_name: "Jane" } });
  receiver.answers["/login"] = [403, ""];
  await run({});
  await go(here("/log"));
  await page.getByText("Halted").nth(1).waitFor();
  await check(page, "webfilter-log");
  await page.getByLabel("Outcome").selectOption({ label: "Changed" });
  await button("Filter").click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.locator("td a.row").click();
  await page.locator("h1", { hasText: "Run of Student Login Requested" }).first().waitFor();
  const text = await page.locator("main").innerText();
  assert.match(text, /Counted: user/);
  assert.match(text, /Not JSON/);
  await check(page, "webfilter-run");
});

test("filters of one's own need no catalogue, and what each can do is listed", async () => {
  await go(`/applications/${room.id}/webfilters/new`);
  await page.getByLabel("Filter", { exact: true }).fill("room.join");
  await page.getByLabel("Webhook URL").fill(`${receiver.url}/join`);
  await page.getByLabel("Exception that a halt raises").fill("NoEntry");
  await check(page, "webfilter-new-own");
  await button("Add webfilter").click();
  await page.getByText("The webfilter was added").waitFor();
  await go(`/applications/${room.id}/webfilters/filters`);
  await check(page, "webfilter-filters-own");
  await go(here("/filters"));
  assert.equal(await page.locator("tbody tr").count(), 43);
  await check(page, "webfilter-filters");
  await go(here());
  await check(page, "webfilters");
});

test("a link without permission shows webfilters and offers no change", async () => {
  const { url } = await api("POST", `/auth/app-portal-access/${site.id}/`, { capabilities: ["ViewBase"] });
  const other = await context.browser()?.newContext() ?? null;
  const portal = other ? await other.newPage() : await context.newPage();
  await portal.goto(url);
  await portal.waitForURL("**/applications/**");
  await portal.goto(server.url + here());
  assert.equal(await portal.getByRole("link", { name: "Add webfilter" }).count(), 0);
  await portal.locator("td a.row").first().click();
  assert.equal(await portal.getByRole("button", { name: "Save" }).count(), 0);
  assert.equal(await portal.getByRole("button", { name: "Reveal" }).count(), 0);
  const refused = await portal.goto(`${server.url}${here("/new")}`);
  assert.equal(refused.status(), 403);
  await portal.close();
  await other?.close();
});

test("a webfilter is deleted after confirming", async () => {
  await page.goto(server.signInLink(server.url));
  await button("Sign in").click();
  await page.waitForURL("**/applications");
  await go(here("/" + (await api("GET", `/app/${site.id}/webfilter/second/`)).id));
  await link("Delete this webfilter…").click();
  await page.locator("dialog").getByRole("button", { name: "Delete webfilter" }).click();
  await page.getByText("The webfilter was deleted.").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 1);
});
