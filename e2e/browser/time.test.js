// Times in forms: a viewer's own zone where there is script, UTC where there is none, and the same instants in every address.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { check, startWorld } from "./support/world.js";

// Four hours behind UTC in May, five in January.
const NEW_YORK = { timezoneId: "America/New_York", locale: "en-US", viewport: { width: 1280, height: 900 } };
let w, app, endpoint;

before(async () => {
  w = await startWorld();
  app = await w.api("POST", "/app/", { name: "Class 7b" });
  endpoint = await w.api("POST", `/app/${app.id}/endpoint/`, { url: `${w.receiver.url}/500` });
  await w.api("POST", `/app/${app.id}/msg/`, { eventType: "work.handed_in", payload: { student: "ada" } });
});
after(() => w?.stop());

const pages = () => [
  [`/applications/${app.id}/endpoints/${endpoint.id}/logs`, "from", "until"],
  [`/applications/${app.id}/messages`, "from", "until"],
  [`/applications/${app.id}/audit`, "since", "until"],
];

async function as(viewer) {
  const context = await w.browser.newContext({ ...viewer, storageState: await w.context.storageState() });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  return page;
}

const rows = (page) => page.locator("tbody tr").count();
const asked = (page) => new URL(page.url()).searchParams;

test("with script, times are taken and shown in the viewer's zone, and addresses hold instants", async () => {
  const page = await as(NEW_YORK);
  for (const [path, from, until] of pages()) {
    await page.goto(`${w.server.url}${path}?${from}=2026-05-01T13:14:00Z&${until}=2999-01-01T05:00:00Z`);
    const [first, last] = [page.getByLabel("From America/New_York"), page.getByLabel("Until America/New_York")];
    assert.equal(await first.inputValue(), "2026-05-01T09:14", path);
    assert.equal(await last.inputValue(), "2999-01-01T00:00", path);
    const before = await rows(page);
    assert.ok(before > 0, path);
    await page.getByRole("button", { name: "Filter", exact: true }).click();
    await page.waitForURL(/2026/);
    assert.equal(asked(page).get(from), "2026-05-01T13:14:00Z", "what was not touched stays");
    await last.fill("2026-01-02T10:30");
    await page.getByRole("button", { name: "Filter", exact: true }).click();
    await page.getByText(/^No .* like these/).waitFor();
    assert.equal(asked(page).get(until), "2026-01-02T15:30:00.000Z", path);
    assert.equal(await last.inputValue(), "2026-01-02T10:30", path);
    await check(page, `times-${path.split("/").at(-1)}`);
  }
  await page.context().close();
});

test("an hour that comes twice a year stays the one that it was", async () => {
  const page = await as(NEW_YORK);
  const [path, from] = pages()[0];
  // 01:30 in New York, for the second time on that day.
  await page.goto(`${w.server.url}${path}?${from}=2025-11-02T06:30:00Z`);
  assert.equal(await page.getByLabel("From America/New_York").inputValue(), "2025-11-02T01:30");
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await page.waitForURL(/status=/);
  assert.equal(asked(page).get(from), "2025-11-02T06:30:00Z");
  await page.context().close();
});

test("repair since a time of one's own counts from that instant, in its dialog too", async () => {
  const page = await as(NEW_YORK);
  await page.goto(`${w.server.url}/applications/${app.id}/endpoints/${endpoint.id}`);
  await page.getByLabel("More about this endpoint").click();
  await page.getByRole("link", { name: "Resend failed messages…" }).first().click();
  const dialog = page.getByRole("dialog");
  const own = dialog.getByLabel("Other time America/New_York");
  const counted = page.waitForResponse(/recover\?/);
  await own.fill("2026-05-01T09:14");
  await dialog.getByRole("button", { name: "Count" }).click();
  assert.equal(new URL((await counted).url()).searchParams.get("at"), "2026-05-01T13:14:00.000Z");
  await page.waitForFunction(() => document.querySelector("dialog #since").value === "own");
  assert.equal(await own.inputValue(), "2026-05-01T09:14");
  assert.equal(await dialog.locator("input[type=hidden][name=at]").getAttribute("value"), "2026-05-01T13:14:00Z");
  await page.context().close();
});

test("exact times on pages name the viewer's zone", async () => {
  const page = await as(NEW_YORK);
  await page.goto(`${w.server.url}/applications/${app.id}/messages`);
  await page.locator("tbody a.row").first().click();
  assert.match(await page.locator("time.exact").innerText(), /\(America\/New_York\)$/);
  await page.context().close();
});

test("without script, times are in UTC and say so", async () => {
  const page = await as({ ...NEW_YORK, javaScriptEnabled: false });
  for (const [path, from, until] of pages()) {
    await page.goto(`${w.server.url}${path}?${from}=2026-05-01T13:14:00Z`);
    const [first, last] = [page.getByLabel("From UTC"), page.getByLabel("Until UTC")];
    assert.equal(await first.inputValue(), "2026-05-01T13:14", path);
    await last.fill("2026-05-02T10:30");
    await page.getByRole("button", { name: "Filter", exact: true }).click();
    await page.getByText(/^No .* like these/).waitFor();
    assert.deepEqual([asked(page).get(from), asked(page).get(until)], ["2026-05-01T13:14", "2026-05-02T10:30"], path);
    assert.deepEqual([await first.inputValue(), await last.inputValue()], ["2026-05-01T13:14", "2026-05-02T10:30"], path);
  }
  await page.context().close();
});
