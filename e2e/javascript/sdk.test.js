// The official Svix SDK for JavaScript, unmodified, against Schoolbell: every operation it has for the open-source paths.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import * as standardwebhooks from "standardwebhooks";
import { newOrganization, startServer } from "./support/server.js";
import { eventually, startReceiver } from "./support/receiver.js";
import { ApiException, MessageStatus, StatusCodeClass, Svix, Webhook, WebhookVerificationError, messageInRaw } from "svix";

// What the open-source server offers; {} stands for a parameter.
const CONTRACT = `
GET /app|POST /app|GET /app/{}|PUT /app/{}|PATCH /app/{}|DELETE /app/{}
GET /event-type|POST /event-type|GET /event-type/{}|PUT /event-type/{}|PATCH /event-type/{}|DELETE /event-type/{}
GET /app/{}/endpoint|POST /app/{}/endpoint|GET /app/{}/endpoint/{}|PUT /app/{}/endpoint/{}|PATCH /app/{}/endpoint/{}
DELETE /app/{}/endpoint/{}|GET /app/{}/endpoint/{}/secret|POST /app/{}/endpoint/{}/secret/rotate
GET /app/{}/endpoint/{}/headers|PUT /app/{}/endpoint/{}/headers|PATCH /app/{}/endpoint/{}/headers
GET /app/{}/endpoint/{}/stats|POST /app/{}/endpoint/{}/send-example|POST /app/{}/endpoint/{}/recover
GET /app/{}/endpoint/{}/msg|GET /app/{}/msg|POST /app/{}/msg|GET /app/{}/msg/{}|DELETE /app/{}/msg/{}/content
GET /app/{}/attempt/endpoint/{}|GET /app/{}/attempt/msg/{}|GET /app/{}/msg/{}/attempt/{}
DELETE /app/{}/msg/{}/attempt/{}/content|GET /app/{}/msg/{}/endpoint|POST /app/{}/msg/{}/endpoint/{}/resend
POST /auth/app-portal-access/{}|POST /auth/logout|GET /health
`
  .trim()
  .split(/[|\n]/);

const called = new Set();
/** The SDK's own way to look at its requests. */
function recordingFetch(url, init) {
  const path = new URL(url).pathname.replace("/api/v1", "");
  const fits = (operation) => {
    const [method, template] = operation.split(" ");
    const pattern = new RegExp(`^${template.replaceAll("{}", "[^/]+")}$`);
    return method === init.method && pattern.test(path);
  };
  // Literal segments come before parameters: /attempt/msg/x is not /{}/{}/{}.
  const matching = CONTRACT.filter(fits).sort((a, b) => a.split("{}").length - b.split("{}").length);
  if (matching.length > 0) called.add(matching[0]);
  return fetch(url, init);
}

/** Both libraries take the delivery, and neither takes another body. */
function verify(secret, { headers, body }) {
  new Webhook(secret).verify(body, headers);
  assert.deepEqual(new standardwebhooks.Webhook(secret).verify(body, headers), JSON.parse(body));
  assert.throws(() => new Webhook(secret).verify(`${body} `, headers), WebhookVerificationError);
}

const lesson = (number = 1, fields = {}) => ({ eventType: "lesson.started", payload: { number }, ...fields });

async function refusal(promise) {
  const error = await promise.then(
    () => assert.fail("it was not refused"),
    (e) => e,
  );
  assert.ok(error instanceof ApiException, String(error));
  return error;
}

describe("the Svix SDK", () => {
  let server, receiver, svix, app, hook, endpoint;

  before(async () => {
    server = await startServer();
    receiver = await startReceiver();
  });
  after(async () => {
    await receiver?.stop();
    await server?.stop();
  });
  beforeEach(async () => {
    svix = new Svix(server.token(newOrganization()), { serverUrl: server.url, fetch: recordingFetch });
    app = await svix.application.create({ name: "Physics 101" });
    hook = receiver.hook();
    endpoint = await svix.endpoint.create(app.id, { url: hook.url });
  });
  afterEach((context) => {
    // Old versions of Node do not say whether the test passed.
    if (context?.passed === false) console.log(server.log().split("\n").slice(-40).join("\n"));
  });

  test("the life of an application", async () => {
    const made = await svix.application.create({ name: "one", uid: "room-1", metadata: { grade: "7" } });
    assert.deepEqual(await svix.application.get("room-1"), made);
    assert.ok(made.createdAt instanceof Date && made.metadata.grade === "7");
    assert.deepEqual(await svix.application.getOrCreate({ name: "other", uid: "room-1" }), made);
    const replaced = await svix.application.upsert("room-1", { name: "two", uid: "room-1" });
    assert.deepEqual([replaced.id, replaced.name, replaced.metadata], [made.id, "two", {}]);
    assert.equal((await svix.application.patch(made.id, { throttleRate: 7 })).throttleRate, 7);
    const listed = await svix.application.list({ limit: 10, order: "descending" });
    assert.deepEqual([listed.data.map((a) => a.id), listed.done], [[made.id, app.id], true]);
    await svix.application.delete(made.id);
    const missing = await refusal(svix.application.get(made.id));
    assert.deepEqual([missing.code, missing.body.code], [404, "not_found"]);
  });

  test("the life of an event type", async () => {
    const schemas = { 1: { type: "object", examples: [{ lesson: "intro" }] } };
    await svix.eventType.create({ name: "lesson.started", description: "It began.", schemas });
    assert.equal((await svix.eventType.upsert("lesson.started", { description: "new" })).description, "new");
    assert.deepEqual((await svix.eventType.patch("lesson.started", { schemas })).schemas, schemas);
    assert.deepEqual((await svix.eventType.get("lesson.started")).schemas, schemas);
    await svix.eventType.delete("lesson.started");
    assert.deepEqual((await svix.eventType.list()).data, []);
    const archived = await svix.eventType.list({ includeArchived: true, withContent: true });
    assert.deepEqual(archived.data.map((t) => [t.name, t.archived, t.schemas]), [["lesson.started", true, schemas]]);
    await svix.eventType.delete("lesson.started", { expunge: true });
    assert.equal((await refusal(svix.eventType.get("lesson.started"))).code, 404);
  });

  test("the life of an endpoint", async () => {
    await svix.eventType.create({ name: "lesson.started", description: "" });
    const fields = { description: "the journal", eventTypes: ["lesson.started"], channels: ["room-1"], metadata: { a: "b" } };
    const made = await svix.endpoint.create(app.id, { url: hook.url, uid: "journal", ...fields });
    assert.deepEqual(await svix.endpoint.get(app.id, "journal"), made);
    const replaced = await svix.endpoint.upsert(app.id, "journal", { url: hook.url, uid: "journal" });
    assert.deepEqual([replaced.id, replaced.description], [made.id, ""]);
    assert.equal((await svix.endpoint.patch(app.id, made.id, { disabled: true })).disabled, true);
    const listed = await svix.endpoint.list(app.id, { limit: 5, order: "ascending" });
    assert.deepEqual(listed.data.map((e) => e.id), [endpoint.id, made.id]);
    await svix.endpoint.delete(app.id, "journal");
    assert.equal((await svix.endpoint.list(app.id)).data.length, 1);
  });

  test("headers reach the receiver and sensitive ones stay hidden", async () => {
    await svix.endpoint.setHeaders(app.id, endpoint.id, { headers: { "X-Room": "12", Authorization: "Bearer x" } });
    await svix.endpoint.patchHeaders(app.id, endpoint.id, { headers: { "X-Floor": "2" } });
    const shown = await svix.endpoint.getHeaders(app.id, endpoint.id);
    assert.deepEqual(shown.headers, { "X-Room": "12", "X-Floor": "2" });
    assert.deepEqual(shown.sensitive.map((name) => name.toLowerCase()), ["authorization"]);
    await svix.message.create(app.id, lesson());
    const { headers } = (await hook.wait())[0];
    assert.deepEqual([headers["x-room"], headers["x-floor"], headers.authorization], ["12", "2", "Bearer x"]);
  });

  test("both secrets are valid after a rotation", async () => {
    const old = (await svix.endpoint.getSecret(app.id, endpoint.id)).key;
    const key = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY";
    await svix.endpoint.rotateSecret(app.id, endpoint.id, { key });
    assert.equal((await svix.endpoint.getSecret(app.id, endpoint.id)).key, key);
    await svix.message.create(app.id, lesson());
    const [request] = await hook.wait();
    verify(key, request);
    verify(old, request);
  });

  test("a message is delivered and every view shows it", async () => {
    const sent = await svix.message.create(app.id, lesson(1, { eventId: "lesson-1", channels: ["room-1"] }), { withContent: true });
    assert.deepEqual([sent.payload, sent.eventId, sent.timestamp instanceof Date], [{ number: 1 }, "lesson-1", true]);
    const [request] = await hook.wait();
    verify((await svix.endpoint.getSecret(app.id, endpoint.id)).key, request);
    assert.equal(request.headers["webhook-id"], sent.id);
    assert.deepEqual((await svix.message.get(app.id, "lesson-1", { withContent: true })).payload, { number: 1 });
    const listed = await svix.message.list(app.id, { eventTypes: ["lesson.started", "x"], channel: "room-1", before: new Date(Date.now() + 60_000) });
    assert.deepEqual(listed.data.map((m) => m.id), [sent.id]);

    const [attempt] = await eventually(async () => {
      const { data } = await svix.messageAttempt.listByMsg(app.id, sent.id);
      return data.length > 0 && data;
    });
    assert.deepEqual([attempt.status, attempt.responseStatusCode, attempt.endpointId], [MessageStatus.Success, 200, endpoint.id]);
    assert.equal((await svix.messageAttempt.get(app.id, sent.id, attempt.id)).id, attempt.id);
    const byEndpoint = await svix.messageAttempt.listByEndpoint(app.id, endpoint.id, {
      status: MessageStatus.Success,
      statusCodeClass: StatusCodeClass.Code2xx,
    });
    assert.deepEqual(byEndpoint.data.map((a) => a.id), [attempt.id]);
    const messages = await svix.messageAttempt.listAttemptedMessages(app.id, endpoint.id);
    assert.deepEqual(messages.data.map((m) => [m.id, m.status]), [[sent.id, MessageStatus.Success]]);
    const destinations = await svix.messageAttempt.listAttemptedDestinations(app.id, sent.id);
    assert.deepEqual(destinations.data.map((d) => [d.id, d.nextAttempt ?? null]), [[endpoint.id, null]]);
    assert.deepEqual({ ...(await svix.endpoint.getStats(app.id, endpoint.id)) }, { success: 1, pending: 0, sending: 0, fail: 0, canceled: 0 });
  });

  test("a raw message goes out as it is", async () => {
    const raw = '{ "kept":  "as is" }';
    await svix.message.create(app.id, messageInRaw("lesson.started", raw));
    assert.equal((await hook.wait())[0].body, raw);
  });

  test("resend and expunge", async () => {
    const sent = await svix.message.create(app.id, lesson());
    await hook.wait();
    await svix.messageAttempt.resend(app.id, sent.id, endpoint.id);
    const [first, second] = await hook.wait(2);
    assert.deepEqual([first.headers["svix-id"], first.body], [second.headers["svix-id"], second.body]);
    const attempts = await eventually(async () => {
      const { data } = await svix.messageAttempt.listByMsg(app.id, sent.id);
      return data.length === 2 && data;
    });
    await svix.messageAttempt.expungeContent(app.id, sent.id, attempts[0].id);
    assert.equal((await svix.messageAttempt.listByMsg(app.id, sent.id, { withContent: true })).data[0].response, "EXPUNGED");
    await svix.message.expungeContent(app.id, sent.id);
    const gone = await refusal(svix.messageAttempt.resend(app.id, sent.id, endpoint.id));
    assert.deepEqual([gone.code, gone.body.code], [400, "missing_payload"]);
  });

  test("recover sends what failed, and its task ends", async () => {
    hook.answer = () => 500;
    const sent = await Promise.all([1, 2, 3].map((n) => svix.message.create(app.id, lesson(n))));
    await eventually(async () => (await svix.endpoint.getStats(app.id, endpoint.id)).fail === 9);
    const failed = hook.received.length;
    hook.answer = () => 200;
    const task = await svix.endpoint.recover(app.id, endpoint.id, { since: new Date(sent[0].timestamp.getTime() - 1000) });
    const requests = await hook.wait(failed + 3);
    assert.deepEqual(new Set(requests.slice(failed).map((r) => r.headers["svix-id"])), new Set(sent.map((m) => m.id)));
    await eventually(async () => (await svix.backgroundTask.get(task.id)).status === "finished");
    assert.ok((await svix.backgroundTask.list()).data.some((t) => t.id === task.id));
  });

  test("an example of an event type", async () => {
    const schemas = { 1: { type: "object", examples: [{ grade: 1 }] } };
    await svix.eventType.create({ name: "lesson.ended", description: "", schemas });
    const sent = await svix.endpoint.sendExample(app.id, endpoint.id, { eventType: "lesson.ended" });
    const [request] = await hook.wait();
    assert.deepEqual([request.headers["svix-id"], JSON.parse(request.body)], [sent.id, { grade: 1 }]);
  });

  test("portal access, logout, health", async () => {
    const { token, url } = await svix.authentication.appPortalAccess(app.id, {});
    assert.match(url, /^http/);
    const own = new Svix(token, { serverUrl: server.url, fetch: recordingFetch });
    assert.equal((await own.application.get(app.id)).id, app.id);
    assert.equal((await refusal(own.application.list())).code, 403);
    await own.authentication.logout();
    await svix.health.get();
  });

  test("errors arrive as the SDK's exceptions", async () => {
    const invalid = await refusal(svix.message.create(app.id, { eventType: "not allowed!", payload: {} }));
    assert.deepEqual([invalid.code, invalid.body.detail[0].loc[0]], [422, "body"]);
    await svix.application.create({ name: "x", uid: "taken" });
    const conflict = await refusal(svix.application.create({ name: "y", uid: "taken" }));
    assert.deepEqual([conflict.code, conflict.body.code], [409, "conflict"]);
    const stranger = new Svix("wrong", { serverUrl: server.url });
    assert.equal((await refusal(stranger.application.list())).code, 401);
  });

  test("a repeated idempotency key gets the first answer", async () => {
    const options = { idempotencyKey: "once" };
    const [first, second] = [await svix.message.create(app.id, lesson(1), options), await svix.message.create(app.id, lesson(2), options)];
    assert.equal(first.id, second.id);
  });

  test("pages", async () => {
    const made = [app.id];
    for (let n = 0; n < 6; n++) made.push((await svix.application.create({ name: `room ${n}` })).id);
    const seen = [];
    let page = { iterator: undefined };
    do {
      page = await svix.application.list({ limit: 3, iterator: page.iterator });
      seen.push(...page.data.map((a) => a.id));
    } while (!page.done);
    assert.deepEqual(seen, made);
  });

  test("every operation of the SDK for the contract's paths was driven", (context) => {
    const source = readFileSync(new URL("./node_modules/svix/dist/index.mjs", import.meta.url), "utf8");
    const offered = new Set();
    for (const [, method, path] of source.matchAll(/new SvixRequest\("(\w+)", "\/api\/v1([^"]+)"\)/g)) {
      offered.add(`${method} ${path.replaceAll(/{[^}]*}/g, "{}")}`);
    }
    const wanted = CONTRACT.filter((operation) => offered.has(operation));
    assert.equal(wanted.length, CONTRACT.length, "the SDK's source is not read as expected");
    if (called.size < 5) return context.skip("only a part of this file was selected");
    assert.deepEqual(wanted.filter((operation) => !called.has(operation)), []);
  });
});
