// Why a delivery has not arrived yet, in words: behind a paused endpoint, behind a rate limit, behind a slow receiver.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startWorld } from "./support/world.js";

let w, app;

const make = (path, more) => w.api("POST", `/app/${app.id}/endpoint/`, { url: `${w.receiver.url}${path}`, channels: [path.slice(1)], ...more });
const publish = (channel) => w.api("POST", `/app/${app.id}/msg/`, { eventType: "work.handed_in", channels: [channel], payload: { student: "ada" } });
const pageOf = (endpoint) => `/applications/${app.id}/endpoints/${endpoint.id}`;
const main = async (path) => (await w.go(path), w.page.locator("main").innerText());

before(async () => {
  w = await startWorld();
  app = await w.api("POST", "/app/", { name: "Class 7b" });
});
after(() => w?.stop());

test("what a rate limit holds back waits for its turn, in the log, on the message and on the endpoint", async () => {
  const limited = await make("/200", { throttleRate: 1 });
  let last;
  for (let n = 0; n < 60; n++) last = await publish("200");
  const waits = /Waits for its turn: the endpoint has a rate limit of 1 a second\./;
  const message = await main(`/applications/${app.id}/messages/${last.id}`);
  assert.match(message, waits);
  assert.doesNotMatch(message, /Sending/);
  await w.check("waiting-message");
  await w.go(`${pageOf(limited)}/logs?status=waiting`);
  assert.match(await w.page.locator("tbody tr").first().innerText(), waits);
  await w.check("waiting-logs");
  assert.match(await main(pageOf(limited)), /Deliveries wait for their turn: it has a rate limit\./);
  await w.api("DELETE", `/app/${app.id}/endpoint/${limited.id}`);
});

test("what waits behind others on a narrow lane says so", async () => {
  await make("/hang", { concurrency: 1 });
  await publish("hang");
  const second = await publish("hang");
  const message = await main(`/applications/${app.id}/messages/${second.id}`);
  assert.match(message, /Waiting[\s\S]*earlier deliveries to this endpoint are on their way/);
});

test("behind an endpoint that is paused after many failures, deliveries wait for the next test of it", async () => {
  const failing = await make("/500", { concurrency: 1, retrySchedule: [] });
  let last, said;
  // It takes ten seconds of failures, and then pauses that grow.
  for (let n = 0; n < 400 && !said; n++) {
    last = await publish("500");
    said = (await main(`/applications/${app.id}/messages/${last.id}`)).match(/The endpoint is paused after many failures in a row\. One delivery tests it/);
  }
  assert.ok(said);
  // Each pause ends with one that goes: the others stay.
  for (let n = 0; n < 20; n++) last = await publish("500");
  await w.go(`/applications/${app.id}/messages/${last.id}`);
  await w.check("paused-message");
  assert.match(await main(pageOf(failing)), /It is paused; one delivery tests it/);
  await w.check("paused-overview");
  assert.match(await main(`${pageOf(failing)}/logs?status=waiting`), /The endpoint is paused after many failures/);
  await w.check("paused-logs");
});
