// Watching and repairing in a real browser: the log, what was sent, repair with a count before and progress after, search by
// time, the catalogue that anybody may see; and whatever others wrote is text.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HOSTILE, SHOTS, launch, startWorld } from "./support/world.js";

let w, app, failing, hanging, first, hostile;

const endpoint = (which) => `/applications/${app.id}/endpoints/${which.id}`;
const publish = (eventType, more = {}) =>
  w.api("POST", `/app/${app.id}/msg/`, { eventType, payload: { student: "ada", note: HOSTILE }, ...more });

/** Reads a page again until it holds a text. */
async function until(path, text) {
  for (let n = 0; n < 100; n++) {
    await w.go(path);
    if ((await w.page.locator("main").innerText()).match(text)) return;
  }
  assert.fail(`${path} never said ${text}`);
}

before(async () => {
  w = await startWorld();
  const schema = {
    type: "object",
    required: ["student"],
    properties: { student: { type: "string", description: HOSTILE }, work: { type: "object", properties: { score: { type: "number" } } } },
    "x-personal-data": [{ path: "$.student", class: "direct" }],
    examples: [{ student: "ada", note: HOSTILE }],
  };
  for (const name of ["work.handed_in", "work.graded"]) {
    await w.api("POST", "/event-type/", { name, description: `What happened. ${HOSTILE}`, groupName: `Work ${HOSTILE}`, schemas: { 1: schema } });
  }
  app = await w.api("POST", "/app/", { name: "Class 7b" });
  hostile = await w.api("POST", "/app/", { name: HOSTILE });
  const make = (path, more) => w.api("POST", `/app/${app.id}/endpoint/`, { url: `${w.receiver.url}${path}`, ...more });
  failing = await make("/500?x=%3Cscript%3E", { description: HOSTILE });
  await w.api("PUT", `/app/${app.id}/endpoint/${failing.id}/headers/`, { headers: { "X-Class": "7b <b>", Authorization: "Bearer hidden-value" } });
  first = await publish("work.handed_in", { channels: ["course:7"] });
  for (let n = 0; n < 3; n++) await publish("work.graded");
  await until(`${endpoint(failing)}/logs?status=failed`, /Failed[\s\S]*Failed[\s\S]*Failed[\s\S]*Failed/);
});

after(() => w?.stop());

test("the log lists deliveries by state, event and time, and its filters are in the address", async () => {
  await w.go(`${endpoint(failing)}/logs`);
  assert.equal(await w.page.locator("tbody tr").count(), 4);
  assert.match(await w.page.locator("tbody").innerText(), /The receiver failed\./);
  await w.page.locator("select#event").selectOption("work.handed_in");
  await w.page.locator("select#when").selectOption("24h");
  await w.button("Filter").click();
  await w.page.waitForURL(/event=work.handed_in&.*when=24h/);
  assert.equal(await w.page.locator("tbody tr").count(), 1);
  await w.go(`${endpoint(failing)}/logs?from=2020-01-01+00:00&until=2020-01-02+00:00`);
  await w.page.getByText("No deliveries like these.").waitFor();
  await w.go(`${endpoint(failing)}/logs?from=someday`);
  assert.match(await w.page.getByRole("alert").innerText(), /Give a date and time/);
  await w.check("logs-wrong-time");
});

test("what was sent is what arrived, with secrets and signatures masked", async () => {
  await w.go(`/applications/${app.id}/messages/${first.id}`);
  await w.page.getByText("What was sent").first().click();
  const shown = await w.page.getByLabel("Headers that were sent").first().innerText();
  const lines = shown.trim().split("\n").slice(1).map((line) => line.split(/: (.*)/s, 2));
  const arrived = w.receiver.requests.find((r) => r.headers["webhook-id"] === first.id).headers;
  for (const [name, value] of lines) {
    if (value.includes("••••••")) assert.ok(arrived[name], name);
    else if (!name.endsWith("-timestamp")) assert.equal(value, arrived[name], name);
  }
  const known = new Set(lines.map(([name]) => name));
  assert.deepEqual(Object.keys(arrived).filter((name) => !known.has(name) && name !== "connection"), []);
  assert.equal(shown.includes("hidden-value"), false);
  assert.equal((await w.page.content()).includes("hidden-value"), false);
});

test("all that failed since a message is counted, sent again, and its progress shown", async () => {
  await w.go(`/applications/${app.id}/messages/${first.id}`);
  w.receiver.mended = true;
  await w.link("Resend all that failed since this message…").click();
  const dialog = w.page.getByRole("dialog");
  await dialog.getByText("4 messages failed since then.").waitFor();
  await dialog.getByRole("button", { name: "Resend 4 failed messages" }).click();
  await w.page.getByRole("heading", { name: "Failed messages were resent" }).waitFor();
  await w.page.getByText("4 messages were put into the queue.").waitFor();
  assert.equal(await w.page.locator("progress").getAttribute("value"), "100");
  await w.check("task");
  await until(`${endpoint(failing)}/logs?status=delivered`, /by hand[\s\S]*by hand[\s\S]*by hand[\s\S]*by hand/);
});

test("with nothing to repair there is no button, and another window is counted in place", async () => {
  await w.go(endpoint(failing));
  await w.page.getByLabel("More about this endpoint").click();
  await w.link("Resend failed messages…").first().click();
  const dialog = w.page.getByRole("dialog");
  await dialog.getByText("0 messages failed since then.").waitFor();
  assert.equal(await dialog.getByRole("button", { name: /Resend/ }).count(), 0);
  await dialog.getByLabel("Since").selectOption("7d");
  await dialog.getByText("0 messages failed since then.").waitFor();
  assert.equal(await dialog.getByLabel("Since").inputValue(), "7d");
});

test("a dialog that was closed while it counted stays closed", async () => {
  await w.go(endpoint(failing));
  await w.page.getByLabel("More about this endpoint").click();
  await w.link("Resend failed messages…").first().click();
  const dialog = w.page.getByRole("dialog");
  await dialog.getByText("0 messages failed since then.").waitFor();
  let answer;
  const held = new Promise((resolve) => { answer = resolve; });
  await w.page.route(/since=7d/, async (route) => { await held; await route.continue(); });
  const counted = w.page.waitForResponse(/since=7d/);
  await dialog.getByLabel("Since").selectOption("7d");
  await w.page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  answer();
  await (await counted).finished();
  // What the page does with an answer is done before it looks at the next thing.
  await w.page.evaluate(() => fetch(location.href).then((page) => page.text()));
  assert.equal(await dialog.isVisible(), false);
  await w.page.unroute(/since=7d/);
});

test("what waits is counted and cancelled, listed as cancelled, and replayed later", async () => {
  w.receiver.mended = false;
  hanging = await w.api("POST", `/app/${app.id}/endpoint/`, { url: `${w.receiver.url}/hang`, retrySchedule: ["1h"], eventTypes: ["work.graded"] });
  const sent = await publish("work.graded");
  await until(`${endpoint(hanging)}/logs`, /Will be tried again/);
  await w.check("logs-waiting");
  await w.page.getByLabel("More about this endpoint").click();
  await w.link("Cancel waiting deliveries…").click();
  const dialog = w.page.getByRole("dialog");
  await dialog.getByText("1 delivery waits for this endpoint.").waitFor();
  await dialog.getByRole("button", { name: "Cancel 1 waiting delivery" }).click();
  await w.page.getByRole("heading", { name: "What waited was cancelled" }).waitFor();
  await w.go(`${endpoint(hanging)}/logs?status=cancelled`);
  assert.equal(await w.page.locator("tbody tr").count(), 1);
  await w.check("logs-cancelled");
  await w.go(`/applications/${app.id}/messages/${sent.id}`);
  assert.match(await w.page.locator("#deliveries").innerText(), /Cancelled/);
  await w.go(`${endpoint(hanging)}/replay-missing`);
  await w.page.getByText(/3 messages since then were never tried here\./).waitFor();
  await w.check("replay-missing");
  w.receiver.mended = true;
  await w.button("Send 3 missing messages").click();
  await w.page.getByText("3 messages were put into the queue.").waitFor();
  await until(`${endpoint(hanging)}/logs?status=delivered`, /by hand[\s\S]*by hand[\s\S]*by hand/);
});

test("messages are searched by event, channel and time", async () => {
  await w.go(`/applications/${app.id}/messages?channel=course:7&event=work.handed_in&when=1h`);
  assert.equal(await w.page.locator("tbody tr").count(), 1);
  await w.go(`/applications/${app.id}/messages?until=2020-01-01+00:00`);
  await w.page.getByText("No messages like these.").waitFor();
  await w.link("Show all").click();
  await w.page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 5);
});

test("activity shows delivered, failed and how long it took, as charts and as numbers", async () => {
  await w.go(`${endpoint(failing)}/activity`);
  await w.page.getByText("The numbers as a table").click();
  assert.match(await w.page.locator("table").innerText(), /\d+ ms/);
  await w.check("activity-day");
  await w.link("Last 7 days").click();
  await w.page.waitForURL(/range=7d/);
  await w.check("activity-week");
  const failures = async () => Number((await w.page.locator("main").innerText()).match(/delivered, ([\d,]+) failed\./)[1]);
  const all = await failures();
  // One event type only, and the same of four weeks: both are in the address.
  await w.page.locator("select#event").selectOption("work.handed_in");
  await w.button("Show").click();
  await w.page.waitForURL(/range=7d&event=work\.handed_in/);
  const some = await failures();
  assert.ok(0 < some && some < all, `${some} of ${all}`);
  await w.link("Last 28 days").click();
  await w.page.waitForURL(/range=28d&event=work\.handed_in/);
  assert.equal(await failures(), some);
  assert.equal(await w.page.locator("select#event").inputValue(), "work.handed_in");
  assert.equal(await w.page.locator("tbody tr").count(), 28);
  assert.match(await w.page.locator("main").innerText(), /every day/);
  await w.check("activity-month-one-event");
  await w.go(`${endpoint(failing)}/activity?range=28d&event=never.seen`);
  assert.equal(await failures(), 0);
  await w.go(`${endpoint(failing)}/activity?event=no%20name`);
  await w.page.getByRole("alert").waitFor();
});

test("the catalogue is public only where it was switched on", async () => {
  const anybody = await (await launch()).newPage();
  try {
    assert.equal((await anybody.goto(`${w.server.url}/catalogue/${app.id}`)).status(), 404);
    await w.go(`/applications/${app.id}/settings`);
    await w.page.getByLabel(/Public event catalogue/).check();
    await w.button("Save settings").click();
    await w.page.getByRole("link", { name: `/catalogue/${app.id}` }).waitFor();
    assert.equal((await anybody.goto(`${w.server.url}/catalogue/${app.id}`)).status(), 200);
    const page = w.page;
    await page.goto(`${w.server.url}/catalogue/${app.id}`);
    await page.locator("summary", { hasText: "work.graded" }).click();
    await w.check("catalogue");
    const text = await page.locator("main").innerText();
    assert.match(text, /score/);
    assert.equal(text.includes(w.receiver.url), false, "nobody is told who listens");
  } finally {
    await anybody.context().browser().close();
  }
});

test("the switcher leads to other applications, and on a phone the rooms are behind a button", async () => {
  await w.go(endpoint(failing));
  await w.page.locator("summary", { hasText: "Switch application" }).click();
  await w.page.locator("[data-switch]").getByRole("link", { name: HOSTILE }).click();
  await w.page.waitForURL(`**/applications/${hostile.id}`);
  await w.page.setViewportSize({ width: 360, height: 740 });
  assert.equal(await w.link("Messages").isVisible(), false);
  await w.button("Menu").focus();
  await w.page.keyboard.press("Enter");
  await w.page.keyboard.press("Tab");
  await w.page.screenshot({ path: `${SHOTS}menu-phone.png` });
  await w.link("Messages").click();
  await w.page.waitForURL("**/messages");
  await w.page.setViewportSize({ width: 1280, height: 900 });
});

test("every page of these has no violations, no sideways scroll, and shows what others wrote as text", async (t) => {
  const pages = {
    "repair-endpoint": endpoint(failing),
    "repair-logs": `${endpoint(failing)}/logs`,
    "repair-recover": `${endpoint(failing)}/recover?since=own&at=2020-01-01T00:00`,
    "repair-cancel": `${endpoint(failing)}/cancel-waiting`,
    "repair-message": `/applications/${app.id}/messages/${first.id}`,
    "repair-messages": `/applications/${app.id}/messages?channel=%3Cscript%3E`,
    "repair-event": `/applications/${app.id}/events/work.graded`,
    components: "/components",
  };
  for (const [name, path] of Object.entries(pages)) {
    await t.test(name, async () => {
      await w.go(path);
      await w.check(name);
    });
  }
});

test("repair works without script", async () => {
  w.receiver.mended = false;
  const sent = await publish("work.handed_in");
  await until(`${endpoint(failing)}/logs?status=failed`, /Failed/);
  const browser = await launch();
  const plain = await browser.newContext({ javaScriptEnabled: false });
  try {
    await plain.addCookies(await w.context.cookies());
    const tab = await plain.newPage();
    await tab.goto(`${w.server.url}/applications/${app.id}/messages/${sent.id}`);
    await tab.getByRole("link", { name: "Resend all that failed since this message…" }).click();
    await tab.getByText("1 message failed since then.").waitFor();
    await tab.getByRole("button", { name: "Resend 1 failed message" }).click();
    await tab.getByRole("heading", { name: /Failed messages were resent|Resending failed messages/ }).waitFor();
    assert.equal(await tab.getByRole("link", { name: "Endpoints", exact: true }).first().isVisible(), true);
  } finally {
    await browser.close();
  }
});
