// What pages are for people who do not look at them with a mouse, a large window and usual colours: the keyboard alone,
// twice the size, colours of the viewer's own, no motion, no script, and very long names.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startWorld } from "./support/world.js";

const NAME = `Gemeinschaftsschule${"n".repeat(60)} مدرسة النور الثانوية`;
const TYPE = `submission.${"handed_in_".repeat(12)}late`;
let w, app, failing;

const endpoint = () => `/applications/${app.id}/endpoints/${failing.id}`;
const pages = () => [
  "/applications",
  `/applications/${app.id}`,
  `/applications/${app.id}/endpoints/new`,
  endpoint(),
  ...["testing", "logs", "activity", "advanced", "recover", "delete"].map((tab) => `${endpoint()}/${tab}`),
  `/applications/${app.id}/messages`,
  `/applications/${app.id}/events`,
  "/settings/audit",
  "/components",
];

/** A page of another kind of viewer, signed in as the operator. */
async function as(viewer) {
  const context = await w.browser.newContext({ ...viewer, storageState: await w.context.storageState() });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  return page;
}

/** Presses Tab until something is focused; fails where it cannot be reached. */
async function tabTo(page, name) {
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press("Tab");
    const [label, outline] = await page.evaluate(() => {
      const at = document.activeElement;
      const ring = [getComputedStyle(at), getComputedStyle(at, "::after")];
      return [`${at.getAttribute("aria-label") ?? ""} ${at.labels?.[0]?.textContent ?? ""} ${at.textContent}`, ring.some((s) => parseFloat(s.outlineWidth) >= 2 && s.outlineStyle !== "none")];
    });
    assert.ok(outline, `the focus is not seen on "${label.trim().slice(0, 80)}"`);
    if (label.includes(name)) return;
  }
  assert.fail(`"${name}" was not reached`);
}

before(async () => {
  w = await startWorld();
  const schema = { type: "object", examples: [{ student: "ada" }] };
  await w.api("POST", "/event-type/", { name: TYPE, description: "Handed in.", schemas: { 1: schema } });
  app = await w.api("POST", "/app/", { name: NAME });
  const url = `${w.receiver.url}/500/${"path/".repeat(10)}?token=${"a1".repeat(60)}`;
  failing = await w.api("POST", `/app/${app.id}/endpoint/`, { url, description: "d".repeat(120) });
  await w.api("POST", `/app/${app.id}/msg/`, { eventType: TYPE, channels: [`course:${"7".repeat(100)}`], payload: { note: "ö".repeat(400) } });
});
after(() => w?.stop());

test("nothing scrolls sideways, from 320 pixels (400 % of a usual window) to 1280, whatever the names are", async () => {
  const page = await as({ viewport: { width: 1280, height: 900 } });
  for (const path of pages()) {
    await page.goto(w.server.url + path);
    for (const width of [1280, 1180, 1030, 800, 320]) {
      await page.setViewportSize({ width, height: 256 });
      assert.equal(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0, `${path} at ${width}`);
      const beyond = await page.evaluate(`[...document.querySelectorAll("main table")].filter((t) => !t.closest(".scroll") && t.getBoundingClientRect().right > t.parentElement.getBoundingClientRect().right + 1).length`);
      assert.equal(beyond, 0, `${path} at ${width}: a table is wider than its place`);
    }
  }
  await page.context().close();
});

test("with the keyboard alone, a failing endpoint is found, tested and repaired, and the focus is always seen", async () => {
  const page = await as({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce" });
  await page.goto(`${w.server.url}/applications`);
  await tabTo(page, NAME);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Endpoints" }).waitFor();
  await tabTo(page, "/500/");
  await page.keyboard.press("Enter");
  await page.getByText("Why it failed lately").waitFor();
  await tabTo(page, "Testing");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Send a test event" }).waitFor();
  await tabTo(page, "Send test event");
  await page.keyboard.press("Enter");
  await page.locator("#answer .state.failed").first().waitFor();
  await tabTo(page, "More about this endpoint");
  await page.keyboard.press("Enter");
  await tabTo(page, "Resend failed messages");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Resend failed messages" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  const back = await page.evaluate("document.activeElement.getAttribute('aria-label')");
  assert.equal(back, "More about this endpoint", "the focus is back where it came from");
  await page.context().close();
});

test("who asks for less motion gets none", async () => {
  const page = await as({ reducedMotion: "reduce" });
  await page.goto(`${w.server.url}${endpoint()}`);
  const moves = await page.evaluate(`[...document.querySelectorAll("*")].filter((e) => {
    const s = getComputedStyle(e);
    return s.animationName !== "none" || parseFloat(s.transitionDuration) > 0;
  }).length`);
  assert.equal(moves, 0);
  await page.context().close();
});

test("in colours of the viewer's own, where one is and what is on stays seen", async () => {
  const page = await as({ forcedColors: "active", viewport: { width: 1280, height: 900 } });
  await page.goto(`${w.server.url}${endpoint()}`);
  const border = (selector) => page.locator(selector).first().evaluate((e) => getComputedStyle(e).borderBottomColor);
  assert.notEqual(await border(".tabs a[aria-current]"), await border(".tabs a:not([aria-current])"));
  assert.notEqual(await page.locator(".strip .failed").first().evaluate((e) => getComputedStyle(e).fill), "none");
  await page.context().close();
});

test("without script, an endpoint is added and a message is resent", async () => {
  const page = await as({ javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
  await page.goto(`${w.server.url}/applications/${app.id}`);
  assert.ok(await page.getByRole("link", { name: "Messages" }).isVisible(), "the rooms are not behind a button that does nothing");
  await page.getByRole("link", { name: "Add endpoint" }).click();
  await page.getByLabel("Address").fill(`${w.receiver.url}/200`);
  await page.getByRole("button", { name: "Choose events" }).click();
  await page.getByRole("button", { name: "Review" }).click();
  if (await page.getByLabel(/may get this data/).count()) await page.getByLabel(/may get this data/).check();
  await page.getByRole("button", { name: "Add endpoint" }).click();
  await page.getByText("The endpoint was added.").waitFor();
  await page.goto(`${w.server.url}/applications/${app.id}/messages`);
  await page.locator("td a.row").first().click();
  await page.getByRole("button", { name: "Resend" }).first().click();
  await page.getByText("It is being sent again.").waitFor();
  await page.context().close();
});
