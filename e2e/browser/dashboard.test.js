// The dashboard in a real browser: the flows that people go through, as they see them. Screenshots of every page land in
// target/screenshots.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startServer } from "../javascript/support/server.js";
import { caller } from "./support/api.js";
import { HOSTILE, SHOTS, check, launch, launchIn } from "./support/browser.js";

const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";

let server, receiver, profile, context, page, api, app, endpoint, message;

/** Answers what the path says: `/500` answers 500. The body is hostile. */
async function startReceiver() {
  const http = createServer((request, response) => {
    request.resume();
    const status = Number(request.url.slice(1, 4)) || 200;
    response.writeHead(receiver.mended ? 200 : status, { "content-type": "text/html" }).end(`answered ${status} ${HOSTILE}`);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { http, mended: false, url: `http://127.0.0.1:${http.address().port}` };
}

const go = (path) => page.goto(server.url + path);
const button = (name) => page.getByRole("button", { name, exact: true });
const link = (name) => page.getByRole("link", { name, exact: true });

before(async () => {
  server = await startServer();
  receiver = await startReceiver();
  api = caller(server, server.token(ORGANIZATION));
  const schema = {
    type: "object",
    required: ["student"],
    properties: {
      student: { type: "object", description: "Who handed in", properties: { email: { type: "string" } } },
      score: { type: "number", description: HOSTILE },
    },
    "x-personal-data": [{ path: "$.student.email", class: "direct" }, { path: "$.score", class: "record" }],
    examples: [{ student: { email: "ada@example.org" }, score: 4, note: HOSTILE }],
  };
  for (const [name, description] of [
    ["submission.created", "A student handed in their work."],
    ["submission.graded", "A teacher gave a grade."],
    ["room.opened", `A room opened. ${HOSTILE}`],
  ]) {
    await api("POST", "/event-type/", { name, description, groupName: name.startsWith("room") ? "Rooms" : "Submissions", schemas: { 1: schema } });
  }
  app = await api("POST", "/app/", { name: "Class 7b", uid: "class-7b" });
  const hostile = await api("POST", "/app/", { name: HOSTILE });
  await api("POST", `/app/${hostile.id}/endpoint/`, { url: `${receiver.url}/200?x=%22%3E%3Cscript%3E`, description: HOSTILE });
  await api("POST", `/app/${app.id}/endpoint/`, { url: `${receiver.url}/500`, description: HOSTILE, uid: "failing" });
  const sent = await api("POST", `/app/${app.id}/msg/`, {
    eventType: "submission.created",
    eventId: "hand-in-1",
    channels: ["course:7"],
    payload: { student: { email: "ada@example.org" }, note: HOSTILE },
  });
  message = sent.id;
  profile = mkdtempSync(join(tmpdir(), "schoolbell-browser-"));
  context = await launchIn(profile);
  page = await context.newPage();
  page.setDefaultTimeout(60_000);
});

after(async () => {
  await context?.close();
  receiver?.http.closeAllConnections();
  receiver?.http.close();
  await server?.stop();
  if (profile) rmSync(profile, { recursive: true, force: true });
});

test("nobody gets in without the link, and the link works once", async () => {
  await go("/applications");
  assert.equal(new URL(page.url()).pathname, "/sign-in");
  const signIn = server.signInLink(server.url);
  await page.goto(signIn);
  await page.goto(signIn); // Looking at it does not use it up.
  await button("Sign in").click();
  await page.waitForURL("**/applications");
  const cookie = (await context.cookies()).find((c) => c.name === "schoolbell_session");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
  const again = await fetch(`${server.url}/sign-in`, {
    method: "POST",
    headers: { "sec-fetch-site": "same-origin" },
    body: new URLSearchParams({ token: signIn }),
  });
  assert.equal(again.status, 401);
  assert.match(await again.text(), /used already/);
});

test("forms of other sites are refused", async () => {
  const [cookie] = await context.cookies();
  const answer = await fetch(`${server.url}/applications`, {
    method: "POST",
    headers: { cookie: `${cookie.name}=${cookie.value}`, "sec-fetch-site": "cross-site" },
    body: new URLSearchParams({ name: "forged" }),
  });
  assert.equal(answer.status, 403);
  await go("/applications");
  assert.equal(await page.getByText("forged").count(), 0);
});

test("an application is made, found in the list, and deleted after confirming", async () => {
  await go("/applications");
  await link("Create application").click();
  await page.getByLabel("Name").fill("Class 8a");
  await page.getByLabel("Your own id").fill("not allowed!");
  await button("Create application").click();
  assert.match(await page.locator(".problem").innerText(), /Only letters, digits/);
  await page.getByLabel("Your own id").fill("class-8a");
  await button("Create application").click();
  await page.locator("h1", { hasText: "Endpoints" }).first().waitFor();
  await go("/applications");
  await page.getByLabel("More about Class 8a").click();
  await page.getByRole("row", { name: /Class 8a/ }).getByRole("link", { name: "Delete…" }).click();
  assert.match(await page.getByRole("dialog").innerText(), /Delete Class 8a\?/);
  await page.getByRole("dialog").getByRole("button", { name: "Delete application" }).click();
  await page.getByText("Class 8a was deleted.").waitFor();
  assert.equal(await link("Class 8a").count(), 0);
});

test("an endpoint is added in three steps, with the keyboard alone", async () => {
  await go(`/applications/${app.id}`);
  await link("Add endpoint").focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Address").waitFor();
  await page.getByLabel("Address").fill("http://10.0.0.1/hook");
  await page.keyboard.press("Enter");
  assert.match(await page.locator("#url-problem").innerText(), /blocked|not allowed|private/i);
  await page.getByLabel("Address").fill(`${receiver.url}/401`);
  await page.keyboard.press("Tab");
  await page.keyboard.type("Grade checker");
  await page.keyboard.press("Enter");
  await page.getByText("Receiving all events").waitFor();
  await page.screenshot({ path: `${SHOTS}add-events.png`, fullPage: true });
  await page.getByLabel("Search").fill("graded");
  assert.equal(await page.locator("[data-choice]:visible").count(), 1);
  await page.getByLabel("Search").fill("");
  await page.getByLabel("All of Submissions").focus();
  await page.keyboard.press("Space");
  await page.getByText("2 event types selected").waitFor();
  await button("Review").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Student data goes to 127.0.0.1" }).waitFor();
  assert.match(await page.locator(".warning").innerText(), /Names a person\s+student\.email/);
  await check(page, "add-review");
  await button("Add endpoint").click();
  assert.match(await page.getByRole("alert").innerText(), /Tick the box/);
  await page.getByLabel(/may get this data/).focus();
  await page.keyboard.press("Space");
  await button("Add endpoint").focus();
  await page.keyboard.press("Enter");
  await page.getByText("The endpoint was added.").waitFor();
  endpoint = new URL(page.url()).pathname;
});

test("a test event is edited and sent, and the page says why it failed and what to do", async () => {
  await go(`${endpoint}/testing`);
  const field = page.getByLabel(/^Payload/);
  assert.match(await field.inputValue(), /ada@example.org/);
  await field.fill("{ not json");
  await button("Send test event").click();
  assert.match(await page.locator("#payload-problem").innerText(), /not JSON/);
  await field.fill('{"student": {"email": "grace@example.org"}}');
  await button("Send test event").click();
  await page.getByText("The receiver refused the request's credentials.").first().waitFor();
  const answer = await page.locator("#answer").innerText();
  assert.match(answer, /Check the signing secret/);
  assert.match(answer, /401/);
  await go(endpoint);
  assert.match(await page.locator(".health").innerText(), /Failing/);
});

test("each fact has its own form, and a wrong value is explained beside it", async () => {
  await go(`${endpoint}/advanced`);
  await link("Edit waits").click();
  await page.getByLabel("Waits between tries").fill("soon");
  await button("Save").click();
  assert.match(await page.locator(".problem").innerText(), /'soon' is not a wait/);
  await page.getByLabel("Waits between tries").fill("1s, 1m");
  await button("Save").click();
  await page.getByText("1s, 1m").waitFor();
  await link("Edit headers").click();
  await page.getByLabel("Headers").fill("Authorization: Bearer secret\nX-Class: 7b");
  await button("Save").click();
  await page.getByText("••••••").waitFor();
  assert.equal((await page.content()).includes("Bearer secret"), false);
  await go(endpoint);
  await link("Edit description").click();
  await page.getByLabel("Description").fill("Checks grades");
  await button("Save").click();
  await page.getByText("Checks grades").waitFor();
});

test("the secret is hidden until it is asked for, and rotates with an overlap", async () => {
  await go(endpoint);
  assert.equal((await page.content()).includes("whsec_"), false);
  await button("Reveal secret").click();
  const first = await page.locator(".secret").innerText();
  assert.match(first, /^whsec_/);
  await go(endpoint);
  assert.equal((await page.content()).includes("whsec_"), false);
  await link("Rotate…").click();
  await page.getByRole("dialog").getByRole("button", { name: "Rotate secret" }).click();
  await page.getByText("1 older secret").waitFor();
  await button("Reveal secret").click();
  assert.notEqual(await page.locator(".secret").innerText(), first);
});

test("a message is found by its event id and resent once the receiver is mended", async () => {
  await go(`/applications/${app.id}/messages`);
  await page.getByLabel("Find by id or event id").fill("nothing-like-it");
  await button("Find").click();
  await page.getByText("No message has this id").waitFor();
  await page.getByLabel("Find by id or event id").fill("hand-in-1");
  await button("Find").click();
  await page.waitForURL(`**/messages/${message}`);
  assert.match(await page.locator("#deliveries").innerText(), /The receiver failed\./);
  assert.match(await page.locator("#payload").innerText(), /ada@example\.org/);
  receiver.mended = true;
  await button("Resend").click();
  await page.getByText("It is being sent again.").waitFor();
  await page.locator("#deliveries .state.delivered").first().waitFor();
  assert.match(await page.locator("#deliveries").innerText(), /by hand/);
  receiver.mended = false;
});

test("the log is filtered, and the filter is in the address", async () => {
  await go(`${endpoint}/logs`);
  await page.locator("select#status").selectOption("delivered");
  await button("Filter").click();
  await page.waitForURL(/status=delivered/);
  await page.getByText("No deliveries like these.").waitFor();
  await page.locator("select#status").selectOption("failed");
  await button("Filter").click();
  assert.ok((await page.locator("tbody tr").count()) >= 1);
});

test("switching off and on, recovering, and replaying what was missed", async () => {
  await go(endpoint);
  await page.getByLabel("More about this endpoint").click();
  await button("Switch off").click();
  await page.getByText("Switched off by a person or a program.").waitFor();
  await page.getByLabel("More about this endpoint").click();
  await button("Switch on").click();
  await page.getByText("The endpoint is switched on.").waitFor();
  await page.getByLabel("More about this endpoint").click();
  await link("Resend failed messages…").first().click();
  await page.getByRole("dialog").getByRole("button", { name: /^Resend \d+ failed message/ }).click();
  await page.getByRole("heading", { name: "Failed messages were resent" }).waitFor();
  await go(`${endpoint}/replay-missing`);
  await page.getByLabel("Since").selectOption("own");
  await button("Count").click();
  assert.match(await page.getByRole("alert").innerText(), /Choose since when/);
  await go(`${endpoint}/replay-missing?since=own&at=tomorrow`);
  assert.match(await page.getByRole("alert").innerText(), /Give a date and time/);
});

test("a portal link opens one application, with what its capabilities allow", async () => {
  const access = await api("POST", `/auth/app-portal-access/${app.id}/`, { capabilities: ["ViewBase"] });
  const portal = await (await launch()).newPage();
  try {
    await portal.goto(access.url);
    await portal.waitForURL(`**/applications/${app.id}`);
    assert.equal(portal.url().includes("key="), false);
    assert.equal(await portal.getByRole("link", { name: "Add endpoint" }).count(), 0);
    await portal.getByRole("link", { name: /401/ }).click();
    await portal.getByRole("heading", { name: "Signing secret" }).waitFor();
    assert.equal(await portal.getByRole("button", { name: "Reveal secret" }).count(), 0);
    assert.equal(await portal.getByRole("link", { name: /^Edit/ }).count(), 0);
    assert.equal((await portal.goto(`${server.url}/applications`)).status(), 403);
    assert.equal((await portal.goto(`${server.url}${endpoint}/delete`)).status(), 403);
    const other = (await api("GET", "/app/")).data.find((a) => a.id !== app.id);
    assert.equal((await portal.goto(`${server.url}/applications/${other.id}`)).status(), 404);
  } finally {
    await portal.context().browser().close();
  }
});

/** No violation that axe finds, nothing scrolls sideways on a phone, nothing hostile ran; a screenshot of each look. */
test("what else an endpoint can do is set when it is added, and another expression asks anew", async () => {
  await go(`/applications/${app.id}/endpoints/new`);
  await page.getByLabel("Address").fill(`${receiver.url}/200?more`);
  await page.getByText("More settings").click();
  await page.getByLabel("Channels").fill("course:7, course:8");
  await page.getByLabel("Deliveries per second at most").fill("many");
  await button("Choose events").click();
  assert.match(await page.getByRole("alert").innerText(), /not a whole number/);
  await page.getByLabel("Deliveries per second at most").fill("9");
  await page.getByLabel("Waits between tries").fill("5s, 1m");
  await page.getByLabel("Encoding").selectOption("form");
  await page.getByLabel("Headers").fill("X-Room: 7");
  await page.getByLabel("Filter").fill(".student | (");
  await button("Choose events").click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Filter").fill(".student.email != null");
  await check(page, "add-more");
  await button("Choose events").click();
  await page.getByRole("checkbox", { name: "submission.created" }).check();
  await button("Review").click();
  assert.match(await page.locator("dl.facts").innerText(), /course:7, course:8/);
  await page.getByLabel(/may get this data/).check();
  await button("Add endpoint").click();
  await page.getByText("The endpoint was added.").waitFor();
  const id = new URL(page.url()).pathname.split("/").pop();
  const made = await api("GET", `/app/${app.id}/endpoint/${id}/`);
  assert.deepEqual([made.channels.sort(), made.rateLimit, made.retrySchedule, made.filter], [["course:7", "course:8"], 9, ["5s", "1m"], ".student.email != null"]);
  assert.equal((await api("GET", `/app/${app.id}/endpoint/${id}/headers/`)).headers["X-Room"], "7");
  assert.equal(made.studentData.current, true);
  // A filter that may let out more than was confirmed.
  await go(`/applications/${app.id}/endpoints/${id}/expressions`);
  await page.getByLabel("Filter", { exact: true }).fill("");
  await button("Save filter and transform").click();
  await page.getByText("Nothing is saved yet").waitFor();
  assert.equal((await api("GET", `/app/${app.id}/endpoint/${id}/`)).filter, ".student.email != null");
  await page.getByLabel(/may get this data/).check();
  await button("Save filter and transform").click();
  await page.getByText("Filter and transform were saved.").waitFor();
  await go(`/applications/${app.id}/recipients`);
  assert.match(await page.locator("main").innerText(), /student\.email/);
  await api("DELETE", `/app/${app.id}/endpoint/${id}/`);
});

test("every page: no violations, light and dark, no sideways scroll at 360 px, hostile content is text", async (t) => {
  const other = (await api("GET", "/app/")).data.find((a) => a.id !== app.id);
  const pages = {
    applications: "/applications",
    "application-new": "/applications/new",
    "application-settings": `/applications/${other.id}/settings`,
    "application-delete": `/applications/${other.id}/delete`,
    endpoints: `/applications/${app.id}`,
    "endpoints-hostile": `/applications/${other.id}`,
    "add-address": `/applications/${app.id}/endpoints/new`,
    endpoint,
    "endpoint-failing": `/applications/${app.id}/endpoints/failing`,
    testing: `${endpoint}/testing`,
    "testing-answer": `/applications/${app.id}/endpoints/failing/testing?message=${message}`,
    logs: `${endpoint}/logs`,
    activity: `${endpoint}/activity`,
    advanced: `${endpoint}/advanced`,
    "edit-events": `${endpoint}/edit/events`,
    "edit-headers": `${endpoint}/edit/headers`,
    "edit-format": `${endpoint}/edit/format`,
    recover: `${endpoint}/recover`,
    rotate: `${endpoint}/rotate`,
    messages: `/applications/${app.id}/messages`,
    recipients: `/applications/${app.id}/recipients`,
    "messages-empty": `/applications/${other.id}/messages`,
    message: `/applications/${app.id}/messages/${message}`,
    events: `/applications/${app.id}/events`,
    event: `/applications/${app.id}/events/room.opened`,
    "not-found": "/applications/nothing",
    portal: "/portal",
    "sign-in": "/sign-in",
  };
  for (const [name, path] of Object.entries(pages)) {
    await t.test(name, async () => {
      await go(path);
      await check(page, name);
    });
  }
  await go(`/applications/${app.id}/messages/${message}`);
  assert.ok((await page.locator("#payload").innerText()).includes("<script>window.hacked=1</script>"));
});

test("every page works without script", async () => {
  const browser = await launch();
  const plain = await browser.newContext({ javaScriptEnabled: false });
  try {
    await plain.addCookies(await context.cookies());
    const tab = await plain.newPage();
    await tab.goto(server.url + endpoint);
    await tab.getByLabel("More about this endpoint").click();
    await tab.getByRole("link", { name: "Delete…" }).click();
    await tab.getByRole("button", { name: "Delete endpoint" }).click();
    await tab.getByText("The endpoint was deleted.").waitFor();
    await tab.getByRole("button", { name: "Sign out" }).click();
    await tab.goto(`${server.url}/applications`);
    assert.equal(new URL(tab.url()).pathname, "/sign-in");
  } finally {
    await browser.close();
  }
});
