// The portal of one course in a real browser: its people see, add, test and repair what belongs to it, and nothing else is
// there for them. And what came with Canvas on an endpoint's page: signed bodies, when it is switched off.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { check, launch } from "./support/browser.js";
import { startWorld } from "./support/world.js";

const [COURSE, OTHER] = ["course:45", "course:46"];
const submission = (id) => ({
  metadata: { event_name: "submission_created", event_time: "2026-05-01T08:30:05.120Z", user_id: "7", context_type: "Course", context_id: "45" },
  body: { submission_id: id, assignment_id: "565", user_id: "7", attempt: 1, submission_type: "online_text_entry", updated_at: "2026-05-01T08:30:05Z", lti_assignment_id: "bcec0b62-b123-434f-af88-f2242a159c37", workflow_state: "submitted" },
});

let w, app, portal, browser, foreign, theirs, ours;

const path = (rest = "") => `/applications/${app.id}${rest}`;
const publish = (id, channels) => w.api("POST", `/app/${app.id}/msg/`, { eventType: "submission_created", channels, payload: submission(id) });

before(async () => {
  w = await startWorld();
  app = await w.api("POST", "/app/", { name: "Northfield", platform: "canvas" });
  foreign = await w.api("POST", `/app/${app.id}/endpoint/`, { url: `${w.receiver.url}/200/foreign`, channels: [OTHER] });
  await w.api("POST", `/app/${app.id}/endpoint/`, { url: `${w.receiver.url}/200/everything` });
  theirs = await publish("4600", [OTHER, "assignment:9"]);
  const access = await w.api("POST", `/auth/app-portal-access/${app.id}/`, { channels: [COURSE] });
  browser = await launch();
  portal = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  portal.setDefaultTimeout(60_000);
  await portal.goto(access.url);
  await portal.waitForURL(`**${path()}`);
});

after(async () => {
  await browser?.close();
  await w?.stop();
});


const button = (name) => portal.getByRole("button", { name, exact: true });
const link = (name) => portal.getByRole("link", { name, exact: true });

test("the portal of a course begins empty, says what it is limited to, and leads to nothing of the whole", async () => {
  await portal.getByText(/^Limited to .*course:45/).waitFor();
  await portal.getByRole("heading", { name: "No endpoints yet" }).waitFor();
  for (const room of ["Webfilters", "Tools", "Settings", "People", "Audit log"]) assert.equal(await link(room).count(), 0, room);
  await check(portal, "course-empty");
});

test("an endpoint that is added there gets the course's channels, and its messages only", async () => {
  await portal.getByRole("link", { name: "Add endpoint" }).click();
  await portal.getByLabel("Address").fill(`${w.receiver.url}/200/course`);
  await button("Choose events").click();
  await portal.getByLabel(/^submission_created/).check();
  await button("Review").click();
  await portal.getByLabel(/may get this data/).check();
  await button("Add endpoint").click();
  await portal.getByText("The endpoint was added.").waitFor();
  [ours] = (await w.api("GET", `/app/${app.id}/endpoint/`)).data.filter((e) => e.url.endsWith("/course"));
  assert.ok(ours.channels.includes(COURSE) && ours.channels.every((c) => c.startsWith("course:") && c.endsWith("45")), ours.channels);
  await publish("4601", [OTHER]);
  const own = await publish("4501", [COURSE, "assignment:565"]);
  const until = Date.now() + 60_000;
  while (!w.receiver.requests.some((r) => r.url === "/200/course")) {
    assert.ok(Date.now() < until, "the course's message did not arrive");
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.deepEqual(w.receiver.requests.filter((r) => r.url === "/200/course").map((r) => r.headers["webhook-id"]), [own.id]);
  await portal.goto(`${w.server.url}${path("/messages")}`);
  await portal.getByRole("link", { name: /submission_created/ }).first().waitFor();
  const text = await portal.content();
  assert.ok(text.includes(own.id) && !text.includes(theirs.id));
  await portal.goto(`${w.server.url}${path(`/messages/${own.id}`)}`);
  await portal.getByText("/200/course").first().waitFor();
  // The endpoint that gets everything got it too, which is not theirs to know.
  assert.equal((await portal.content()).includes("/200/everything"), false);
  await check(portal, "course-message");
});

test("a test from the portal arrives, and is theirs to see", async () => {
  await portal.goto(`${w.server.url}${path(`/endpoints/${ours.id}/testing`)}`);
  await button("Send test event").click();
  await portal.waitForURL(/message=/);
  const id = new URL(portal.url()).searchParams.get("message");
  const until = Date.now() + 60_000;
  while (!w.receiver.requests.some((r) => r.headers["webhook-id"] === id)) {
    assert.ok(Date.now() < until, "the test did not arrive");
    await new Promise((done) => setTimeout(done, 20));
  }
  assert.equal((await portal.goto(`${w.server.url}${path(`/messages/${id}`)}`)).status(), 200);
  assert.equal(w.receiver.requests.filter((r) => r.headers["webhook-id"] === id).length, 1, "to this endpoint only");
});

test("other channels cannot be chosen, and none means those of the course", async () => {
  const edit = `${w.server.url}${path(`/endpoints/${ours.id}/edit/channels`)}`;
  await portal.goto(edit);
  await portal.getByLabel("Channels").fill(OTHER);
  await button("Save").click();
  assert.match(await portal.locator("#problem").innerText(), /limited to channels.*course:45/);
  await portal.getByLabel("Channels").fill("");
  await button("Save").click();
  await portal.getByText("Channels was saved.").waitFor();
  assert.deepEqual((await w.api("GET", `/app/${app.id}/endpoint/${ours.id}/`)).channels, ours.channels);
});

test("what lies outside of the course is not found at any address", async () => {
  const at = (rest) => portal.goto(`${w.server.url}${path(rest)}`).then((answer) => answer.status());
  for (const rest of ["", "/testing", "/logs", "/activity", "/advanced", "/edit/url", "/rotate", "/delete", "/recover", "/replay-missing", "/expressions"]) {
    assert.equal(await at(`/endpoints/${foreign.id}${rest}`), 404, rest);
  }
  assert.equal(await at(`/messages/${theirs.id}`), 404);
  assert.equal(await at("/webfilters"), 404);
  assert.equal(await at("/settings"), 403);
  // Forms of pages that are not shown do nothing either.
  await portal.goto(`${w.server.url}${path()}`);
  for (const [rest, body] of [
    [`/endpoints/${foreign.id}/delete`, ""],
    [`/endpoints/${foreign.id}/state`, "enabled=false"],
    [`/endpoints/${foreign.id}/secret`, ""],
    [`/endpoints/${foreign.id}/edit/url`, `value=${encodeURIComponent(`${w.receiver.url}/200/taken`)}`],
    [`/messages/${theirs.id}/resend`, `endpoint=${ours.id}`],
  ]) {
    const status = await portal.evaluate(
      async ([url, form]) => (await fetch(url, { method: "POST", body: form, headers: { "content-type": "application/x-www-form-urlencoded" } })).status,
      [path(rest), body],
    );
    assert.equal(status, 404, rest);
  }
  const still = await w.api("GET", `/app/${app.id}/endpoint/${foreign.id}/`);
  assert.ok(still.url.endsWith("/foreign") && !still.disabled);
});

test("signed bodies and the limits after which it is switched off have their own Edit", async () => {
  await w.go(path(`/endpoints/${ours.id}/advanced`));
  await w.page.getByText("after 9,500 timeouts or 28,000 other errors in 24 hours").waitFor();
  await w.page.getByRole("link", { name: "Edit signed body" }).click();
  await w.page.getByLabel(/signed JSON Web Token/).check();
  await w.check("endpoint-edit-body-signing");
  await w.button("Save").click();
  await w.page.getByText("Signed body was saved.").waitFor();
  await w.page.getByText(`/api/lti/jwks/${app.id}`).waitFor();
  assert.equal((await w.api("GET", `/app/${app.id}/endpoint/${ours.id}/`)).bodySigning, "jwt");
  await w.page.getByRole("link", { name: "Edit signed body" }).click();
  await w.page.getByLabel(/signed JSON Web Token/).uncheck();
  await w.button("Save").click();
  await w.page.getByText("no: the body is what the format makes").waitFor();

  await w.page.getByRole("link", { name: "Edit failure limit" }).click();
  assert.equal(await w.page.getByLabel("Failure limit").inputValue(), "9500, 28000");
  await w.page.getByLabel("Failure limit").fill("12");
  await w.button("Save").click();
  assert.match(await w.page.locator("#problem").innerText(), /not two whole numbers/);
  await w.page.getByLabel("Failure limit").fill("0, 7");
  await w.button("Save").click();
  assert.match(await w.page.locator("#problem").innerText(), /at least 1/);
  await w.page.getByLabel("Failure limit").fill("12, 34");
  await w.check("endpoint-edit-deactivate");
  await w.button("Save").click();
  await w.page.getByText("after 12 timeouts or 34 other errors in 24 hours").waitFor();
  assert.deepEqual((await w.api("GET", `/app/${app.id}/endpoint/${ours.id}/`)).deactivateAfter, { timeouts: 12, errors: 34 });
  await w.page.getByRole("link", { name: "Edit failure limit" }).click();
  await w.page.getByLabel("Failure limit").fill("");
  await w.button("Save").click();
  await w.page.getByText("as the server decides").first().waitFor();
  assert.equal((await w.api("GET", `/app/${app.id}/endpoint/${ours.id}/`)).deactivateAfter ?? null, null);
  await w.check("endpoint-advanced-canvas");
});
