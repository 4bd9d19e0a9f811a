// Who comes in, and what each may do: operator, owner, assistant, viewer, portal; the organization's settings; the audit
// log. In a real browser against the real binary, with a real OpenID provider.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import Provider from "oidc-provider";
import { SMTPServer } from "smtp-server";
import { startServer } from "../javascript/support/server.js";
import { caller } from "./support/api.js";
import { HOSTILE, check, launch } from "./support/browser.js";

const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
const PASSWORD = "four words in a row";

let browser, server, receiver, provider, embedder, post, api, app, other, endpoint, message;
const mails = [];
const people = {};

/** A web server that answers with `handler`. */
async function serve(handler) {
  const http = createServer(handler);
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { http, url: `http://127.0.0.1:${http.address().port}`, close: () => (http.closeAllConnections(), http.close()) };
}

/** A provider that believes whoever says who they are. */
async function startProvider() {
  const at = await serve((request, response) => at.answer(request, response));
  return at;
}

/** A browser window of its own. */
async function visitor() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  page.context_ = context;
  return page;
}

const go = (page, path) => page.goto(server.url + path);
const button = (page, name) => page.getByRole("button", { name, exact: true });
const link = (page, name) => page.getByRole("link", { name, exact: true });
const text = (page) => page.locator("main").innerText();

async function signIn(page, email, password) {
  await go(page, "/sign-in");
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  await button(page, "Sign in with password").click();
}

/** A request as the page's own form would send it; the status. */
async function send(page, path, fields = {}) {
  const cookies = (await page.context_.cookies()).map((c) => `${c.name}=${c.value}`).join("; ");
  const answer = await fetch(server.url + path, {
    method: "POST",
    headers: { cookie: cookies, "sec-fetch-site": "same-origin" },
    body: new URLSearchParams(fields),
    redirect: "manual",
  });
  return answer.status;
}

before(async () => {
  browser = await launch();
  provider = await startProvider();
  embedder = await serve((request, response) => {
    response.writeHead(200, { "content-type": "text/html" });
    response.end(`<!doctype html><title>LMS</title><h1>Your course</h1><iframe title="Webhooks" width="900" height="700" src="${embedder.portal}"></iframe>`);
  });
  receiver = await serve((request, response) => {
    request.resume();
    response.writeHead(Number(request.url.slice(1, 4)) || 200).end("thank you, Ada");
  });
  post = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onData(stream, session, done) {
      let text = "";
      stream.on("data", (part) => (text += part));
      stream.on("end", () => (mails.push({ to: session.envelope.rcptTo.map((r) => r.address), text }), done()));
    },
  });
  await new Promise((listening) => post.listen(0, "127.0.0.1", listening));
  server = await startServer((url) => [
    "--smtp-url", `smtp://127.0.0.1:${post.server.address().port}`, "--mail-from", "Schoolbell <bell@example.edu>",
    "--portal-frame-origins", embedder.url,
    "--oidc-issuer", provider.url, "--oidc-client-id", "schoolbell", "--oidc-client-secret", "secret&=%",
    "--public-url", url,
  ]);
  const oidc = new Provider(provider.url, {
    clients: [{ client_id: "schoolbell", client_secret: "secret&=%", redirect_uris: [`${server.url}/sign-in/provider/return`] }],
    claims: { openid: ["sub"], email: ["email"], profile: ["name"] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, email: `${sub}@id.example.edu`, name: `${sub} of the provider` }) }),
    pkce: { required: () => true },
    cookies: { keys: ["not a secret"] },
  });
  oidc.on("server_error", (_, error) => console.error(error));
  provider.answer = oidc.callback();
  api = caller(server, server.token(ORGANIZATION));
  await api("POST", "/event-type/", {
    name: "submission.created", description: "A student handed in their work.",
    schemas: { 1: { type: "object", examples: [{ student: { email: "ada@example.org" } }] } },
  });
  app = await api("POST", "/app/", { name: "Class 7b", uid: "class-7b" });
  other = await api("POST", "/app/", { name: "Class 8a" });
  endpoint = (await api("POST", `/app/${app.id}/endpoint/`, { url: `${receiver.url}/200` })).id;
  message = (await api("POST", `/app/${app.id}/msg/`, { eventType: "submission.created", payload: { student: { email: "ada@example.org" } } })).id;
});

after(async () => {
  await browser?.close();
  await server?.stop();
  for (const one of [provider, embedder, receiver, post]) one?.close();
});

test("first run: the link, then a user of one's own, who is there after a restart", async () => {
  const page = (people.operator = await visitor());
  await page.goto(server.signInLink(server.url));
  await button(page, "Sign in").click();
  await page.getByText("You signed in with a link.").waitFor();
  await link(page, "Create your user").click();
  await page.getByLabel("Your name").fill("Mary Operator");
  await page.getByLabel("E-mail address").fill("Mary@Example.edu");
  await page.getByLabel("Password").fill("short");
  await button(page, "Create user").click();
  assert.match(await page.locator(".problem").innerText(), /at least 12 characters/);
  await page.getByLabel("Password").fill(PASSWORD);
  await check(page, "operator-new");
  await page.getByLabel("Password").fill(PASSWORD);
  await button(page, "Create user").click();
  await page.waitForURL("**/applications");
  assert.equal(await page.getByText("You signed in with a link.").count(), 0);
  await server.restart();
  await page.reload();
  assert.equal(new URL(page.url()).pathname, "/applications", "the session survives");
});

test("a wrong password and an unknown user get the same answer, and guesses run out", async () => {
  const page = await visitor();
  const answers = [];
  for (const email of ["mary@example.edu", "nobody@example.edu"]) {
    await signIn(page, email, "not the password");
    answers.push(await page.getByRole("alert").innerText());
  }
  assert.equal(answers[0], answers[1]);
  assert.match(answers[0], /address or the password is wrong/);
  for (let n = 0; n < 11; n++) await send(page, "/sign-in/password", { email: "guessed@example.edu", password: `guess ${n}` });
  await signIn(page, "guessed@example.edu", "another guess");
  assert.match(await page.getByRole("alert").innerText(), /too many failed tries/);
  await signIn(page, "MARY@example.edu ", PASSWORD);
  await page.waitForURL("**/applications");
  await button(page, "Sign out").click();
  await check(page, "sign-in-password");
});

async function invite(role, name) {
  const page = people.operator;
  await go(page, `/applications/${app.id}/people`);
  await page.getByLabel(/^For whom/).fill(`${name}@example.edu`);
  await page.getByLabel("Role", { exact: true }).selectOption(role);
  await button(page, "Create invitation link").click();
  return page.locator("#link").innerText();
}

test("people come by invitation, which works once", async () => {
  for (const [role, name] of [["owner", "olive"], ["assistant", "alan"], ["viewer", "vera"]]) {
    const url = await invite(role, name);
    const page = (people[role] = await visitor());
    await page.goto(url);
    await page.goto(url); // Looking at it does not use it up.
    assert.match(await text(page), new RegExp(`mary@example.edu invites you to Class 7b as ${role}`));
    if (role === "owner") await check(page, "invitation");
    await page.getByLabel("Your name").fill(`${name} ${HOSTILE}`);
    await page.getByLabel("Password").fill(PASSWORD);
    await button(page, "Create account").click();
    await page.waitForURL("**/applications");
    assert.equal(await link(page, "Class 7b").count(), 1);
    assert.equal(await link(page, "Class 8a").count(), 0, "others do not exist for them");
    assert.equal((await page.goto(url)).status(), 404);
    assert.match(await text(page), /does not work any more/);
  }
  const page = people.operator;
  const unused = await invite("viewer", "nobody");
  await button(page, "Withdraw").click();
  await page.getByText("was withdrawn").waitFor();
  assert.equal((await (await visitor()).goto(unused)).status(), 404);
});

test("an owner does everything in their application, and nothing beside it", async () => {
  const page = people.owner;
  await go(page, `/applications/${app.id}`);
  assert.equal(await link(page, "Add endpoint").count(), 1);
  for (const room of ["People", "Audit log", "Settings"]) assert.equal(await page.locator(".rail").getByRole("link", { name: room }).count(), 1, room);
  await page.locator(".rail").getByRole("link", { name: "Settings" }).click();
  await page.getByLabel(/^Keep payloads/).fill("100");
  await button(page, "Save settings").click();
  assert.match(await page.locator("#days-problem").innerText(), /90/);
  await page.getByLabel(/^Keep payloads/).fill("30");
  await button(page, "Save settings").click();
  await page.getByText("The settings were saved.").waitFor();
  assert.equal(await page.getByText("Delete this application").count(), 0);
  await go(page, `/applications/${app.id}/people`);
  await check(page, "people-of-application");
  const row = page.getByRole("row", { name: /vera@example\.edu/ });
  await row.getByRole("combobox").selectOption("assistant");
  await row.getByRole("button", { name: "Change" }).click();
  await page.getByText("is assistant now").waitFor();
  await page.getByRole("row", { name: /vera@example\.edu/ }).getByRole("combobox").selectOption("viewer");
  await page.getByRole("row", { name: /vera@example\.edu/ }).getByRole("button", { name: "Change" }).click();
  await page.getByText("is viewer now").waitFor();
  assert.equal((await go(page, `/applications/${app.id}/delete`)).status(), 403);
  assert.equal(await send(page, `/applications/${app.id}/delete`), 403);
  assert.equal((await go(page, `/applications/${other.id}`)).status(), 404);
  for (const path of ["/settings/people", "/settings/tokens", "/settings/alerts", "/settings/retention", "/settings/branding", "/settings/audit", "/applications/new"]) {
    assert.equal((await go(page, path)).status(), 403, path);
  }
  assert.equal(await send(page, "/settings/people", { for: "me" }), 403);
  assert.equal(await send(page, "/settings/tokens"), 403);
  assert.equal(await send(page, "/settings/branding", { name: "Mine" }), 403);
});

test("an assistant edits webhooks and refreshes secrets, but neither settings nor people", async () => {
  const page = people.assistant;
  const here = `/applications/${app.id}/endpoints/${endpoint}`;
  await go(page, `${here}/edit/description`);
  await page.getByLabel("Description").fill("Checks grades");
  await button(page, "Save").click();
  await page.getByText("Checks grades").waitFor();
  await button(page, "Reveal secret").click();
  const first = await page.locator(".secret").innerText();
  await go(page, `${here}/rotate`);
  await button(page, "Rotate secret").click();
  await page.getByText("There is a new secret.").waitFor();
  await button(page, "Reveal secret").click();
  assert.notEqual(await page.locator(".secret").innerText(), first);
  await go(page, `/applications/${app.id}/messages/${message}`);
  assert.match(await text(page), /ada@example\.org/);
  for (const room of ["People", "Audit log", "Settings"]) assert.equal(await page.locator(".rail").getByRole("link", { name: room }).count(), 0, room);
  for (const path of ["/people", "/audit", "/settings"]) assert.equal((await go(page, `/applications/${app.id}${path}`)).status(), 403, path);
  assert.equal(await send(page, `/applications/${app.id}/people`, { role: "owner" }), 403);
  assert.equal(await send(page, `/applications/${app.id}/settings`, { name: "Mine" }), 403);
  assert.equal(await send(page, `/applications/${app.id}/token`), 403);
  assert.equal(await send(page, `${here}/expressions`, { go: "save", transform: "{}" }), 403, "what leaves is the owner's to decide");
});

test("a viewer sees neither payloads nor answers nor secrets, and changes nothing", async () => {
  const page = people.viewer;
  const here = `/applications/${app.id}/endpoints/${endpoint}`;
  await go(page, `/applications/${app.id}/messages/${message}`);
  await page.getByText("Your role does not show payloads").waitFor();
  assert.doesNotMatch(await page.content(), /ada@example\.org|thank you, Ada/);
  await check(page, "message-as-viewer");
  // What a webfilter answered is an answer too.
  const gate = await serve((_, response) => response.end('{"exception": {"Refused": "Ada is on probation"}}'));
  await api("POST", `/app/${app.id}/webfilter`, { filter: "own.gate", url: gate.url });
  await api("POST", `/app/${app.id}/webfilter/run`, { filter: "own.gate", payload: {} });
  gate.close();
  for (const [who, sees] of [[people.owner, true], [page, false]]) {
    const log = who.getByRole("row", { name: /Refused/ });
    do await go(who, `/applications/${app.id}/webfilters/log`);
    while ((await log.count()) === 0);
    assert.equal(/probation/.test(await who.content()), sees);
  }
  await go(page, here);
  assert.equal(await button(page, "Reveal secret").count(), 0);
  assert.equal(await page.getByRole("link", { name: /^Edit|Rotate|Testing/ }).count(), 0);
  assert.equal(await link(page, "Add endpoint").count(), 0);
  for (const path of ["/secret", "/rotate", "/state", "/delete", "/testing", "/recover", "/edit/description"]) {
    assert.equal(await send(page, here + path, { enabled: "false", event: "submission.created", payload: "{}", since: "1d", value: "x" }), 403, path);
  }
  assert.equal(await send(page, `/applications/${app.id}/messages/${message}/resend`, { endpoint }), 403);
  assert.equal(await send(page, `/applications/${app.id}/endpoints/new`, { url: receiver.url }), 403);
});

test("a password is changed by its owner, and other sessions end", async () => {
  const page = people.owner;
  const elsewhere = await visitor();
  await signIn(elsewhere, "olive@example.edu", PASSWORD);
  await elsewhere.waitForURL("**/applications");
  await go(page, "/account");
  assert.match(await text(page), /1 other session/);
  await check(page, "account");
  await page.getByLabel("Current password").fill("not it, surely");
  await page.getByLabel("New password").fill("another four words");
  await button(page, "Change password").click();
  assert.match(await page.locator("#old-problem").innerText(), /not your password/);
  await page.getByLabel("Current password").fill(PASSWORD);
  await page.getByLabel("New password").fill("another four words");
  await button(page, "Change password").click();
  await page.getByText("The password was changed.").waitFor();
  await elsewhere.reload();
  assert.equal(new URL(elsewhere.url()).pathname, "/sign-in");
  await signIn(elsewhere, "olive@example.edu", "another four words");
  await elsewhere.waitForURL("**/applications");
  await go(page, "/account");
  await button(page, "Sign out everywhere else").click();
  await page.getByText("1 session ended.").waitFor();
});

async function atTheProvider(page, name) {
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("whatever");
  await page.locator("button[type=submit]").click();
  await page.locator("button[type=submit]").click(); // The consent.
}

test("whoever forgot their password gets a link from an operator, which works once and ends all sessions", async () => {
  const page = people.operator;
  await go(page, "/settings/people");
  await page.getByRole("link", { name: /alan/ }).click();
  const alan = page.url();
  await link(page, "Reset password…").click();
  await page.getByRole("button", { name: "Sign out and create link" }).click();
  const url = await page.locator("#link").innerText();
  await check(page, "user-reset-link");
  await people.assistant.reload();
  assert.equal(new URL(people.assistant.url()).pathname, "/sign-in", "they are signed out");
  const there = (people.assistant = await visitor());
  await there.goto(url);
  await there.goto(url); // Looking at it does not use it up.
  assert.match(await text(there), /alan@example\.edu/);
  await check(there, "reset");
  await there.getByLabel("New password").fill("short");
  await button(there, "Set password and sign in").click();
  assert.match(await there.locator("#password-problem").innerText(), /at least 12 characters/);
  await there.getByLabel("New password").fill("yet another four words");
  await button(there, "Set password and sign in").click();
  await there.waitForURL("**/applications");
  assert.equal((await (await visitor()).goto(url)).status(), 404);
  const elsewhere = await visitor();
  await signIn(elsewhere, "alan@example.edu", PASSWORD);
  assert.match(await elsewhere.getByRole("alert").innerText(), /password is wrong/);
  await signIn(elsewhere, "alan@example.edu", "yet another four words");
  await elsewhere.waitForURL("**/applications");
  const done = (await api("GET", "/audit/?limit=250")).data.map((e) => e.action);
  assert.ok(done.includes("user.password_reset_created") && done.includes("user.password_changed"));
  // Nobody but an operator, and nobody for themselves.
  assert.equal(await send(people.owner, `${new URL(alan).pathname}/reset`), 403);
  await go(page, "/settings/people");
  await page.getByRole("link", { name: "Mary Operator" }).click();
  assert.equal(await send(page, `${new URL(page.url()).pathname}/reset`), 303);
  await page.reload();
  assert.match(await text(page), /cannot change your own/);
});

test("with an OpenID provider: nobody without an invitation, then by subject", async () => {
  const stranger = await visitor();
  await go(stranger, "/sign-in");
  await stranger.getByRole("button", { name: /^Sign in with 127/ }).click();
  await atTheProvider(stranger, "grace");
  await stranger.getByText("nobody here has invited you").waitFor();
  const url = await invite("assistant", "grace");
  await stranger.goto(url);
  await stranger.getByRole("button", { name: /^Join with 127/ }).click();
  await stranger.waitForURL("**/applications");
  assert.equal(await link(stranger, "Class 7b").count(), 1);
  await go(stranger, "/account");
  assert.match(await text(stranger), /grace@id\.example\.edu/);
  await button(stranger, "Sign out").click();
  await stranger.getByRole("button", { name: /^Sign in with 127/ }).click();
  await stranger.waitForURL("**/applications");
  people.grace = stranger;
  const forged = await visitor();
  const answer = await go(forged, "/sign-in/provider/return?code=stolen&state=stolen");
  assert.equal(answer.status(), 401);
  assert.match(await text(forged), /this browser did not ask for it/);
});

test("an operator keeps people out, at once; nobody their own rights", async () => {
  const page = people.operator;
  await go(page, "/settings/people");
  await check(page, "people");
  await page.getByRole("link", { name: "grace of the provider" }).click();
  await check(page, "user");
  await button(page, "Remove access").click();
  await page.getByText("cannot sign in any more, and was signed out.").waitFor();
  await people.grace.reload();
  assert.equal(new URL(people.grace.url()).pathname, "/sign-in");
  await go(page, "/settings/people");
  await page.getByRole("link", { name: "Mary Operator" }).click();
  assert.equal(await button(page, "Remove operator role").count(), 0);
  const me = new URL(page.url()).pathname;
  assert.equal(await send(page, me, { to: "member" }), 303);
  await go(page, me);
  assert.match(await text(page), /cannot change your own rights/);
  assert.match(await text(page), /operator: everything in the organization/);
});

test("tokens are shown once and work; forms of other sites are refused", async () => {
  const page = people.operator;
  await go(page, "/settings/tokens");
  await check(page, "tokens");
  await button(page, "Create organization token").click();
  const organizationToken = await page.locator("#token").innerText();
  assert.ok((await caller(server, organizationToken)("GET", "/app/")).data.length >= 2);
  await go(page, `/applications/${app.id}/settings`);
  await button(page, "Create token").click();
  const own = await page.locator("#token").innerText();
  assert.equal((await caller(server, own)("GET", "/me/")).application.id, app.id);
  const cookies = (await page.context_.cookies()).map((c) => `${c.name}=${c.value}`).join("; ");
  const forged = await fetch(`${server.url}/settings/tokens`, { method: "POST", headers: { cookie: cookies, "sec-fetch-site": "same-site" } });
  assert.equal(forged.status, 403);
});

test("what goes wrong is an alert, in the list, by webhook and by mail", async () => {
  const page = people.operator;
  await go(page, "/settings/alerts");
  await check(page, "alerts-none");
  await page.getByLabel("Address", { exact: true }).fill("http://10.0.0.1/");
  await button(page, "Add address").click();
  assert.match(await page.locator("#url-problem").innerText(), /private/);
  await page.getByLabel("Address", { exact: true }).fill(`${receiver.url}/200/alerts`);
  await button(page, "Add address").click();
  await page.getByText("Operational webhooks go there").waitFor();
  await page.getByLabel(/^E-mail addresses/).fill("not an address");
  await button(page, "Save addresses").click();
  assert.match(await page.locator("#emails-problem").innerText(), /not an e-mail address/);
  await page.getByLabel(/^E-mail addresses/).fill("mary@example.edu\nolive@example.edu");
  await button(page, "Save addresses").click();
  await page.getByText("Saved.").waitFor();
  const heard = new Promise((done) => receiver.http.on("request", (request) => request.url === "/200/alerts" && done(request.headers)));
  const failing = await api("POST", `/app/${app.id}/endpoint/`, { url: `${receiver.url}/500`, uid: "failing" });
  await api("POST", `/app/${app.id}/msg/`, { eventType: "submission.created", payload: { n: 1 } });
  assert.ok((await heard)["webhook-signature"]);
  for (let n = 0; n < 50 && (await page.getByText("no try is left").count()) === 0; n++) await page.reload();
  await page.getByText("no try is left").waitFor();
  await check(page, "alerts");
  assert.match(await page.locator(".badge").innerText(), /1 alert/);
  for (let n = 0; n < 50 && mails.length < 2; n++) await page.reload();
  assert.deepEqual(mails.map((m) => m.to[0]).sort(), ["mary@example.edu", "olive@example.edu"]);
  assert.match(mails[0].text, /Class 7b/);
  assert.match(mails[0].text, new RegExp(`Endpoint: +${receiver.url}\\r`));
  assert.doesNotMatch(mails[0].text, /"n"/);
  await button(page, "Reveal secret").click();
  assert.match(await page.locator(".secret").innerText(), /^whsec_/);
  await button(page, "Dismiss all").click();
  await page.getByText("1 alert dismissed.").waitFor();
  assert.equal(await page.locator(".badge").count(), 0);
  await button(page, "Remove").click();
  await page.getByText("Nothing more is sent there.").waitFor();
  await api("DELETE", `/app/${app.id}/endpoint/${failing.id}/`);
});

test("retention and branding", async () => {
  const page = people.operator;
  await go(page, "/settings/retention");
  await page.getByLabel(/^Keep payloads/).fill("nine");
  await button(page, "Save retention").click();
  assert.match(await page.locator("#payload-problem").innerText(), /90/);
  await page.getByLabel(/^Keep payloads/).fill("9");
  await button(page, "Save retention").click();
  await page.getByText("Saved.").waitFor();
  assert.equal((await api("GET", "/organization/settings/")).retention.payloadDays, 9);
  await check(page, "retention");
  await go(page, "/settings/branding");
  await page.getByLabel(/^Name/).fill("Example School");
  await page.getByLabel(/^Logo text/).fill("ES");
  await page.getByLabel(/^Colour/).fill("ffd200");
  await button(page, "Save branding").click();
  await page.getByText("Saved.").waitFor();
  assert.match(await page.title(), /Example School/);
  await check(page, "branding");
  await api("PUT", "/organization/settings/", { retention: { payloadDays: 8 } });
  await go(page, "/settings/branding");
  assert.equal(await page.getByLabel(/^Name/).inputValue(), "Example School", "the API's settings leave it alone");
});

test("the audit log knows who did what, through every door, once", async () => {
  const entries = async (query) => (await api("GET", `/audit/?limit=250&${query}`)).data;
  const revealed = await entries(`action=secret.revealed&object=${endpoint}`);
  assert.deepEqual(revealed.map((e) => [e.actorKind, e.actor]), [["user", "alan@example.edu"], ["user", "alan@example.edu"]]);
  assert.equal((await entries(`action=secret.rotated&actor=alan@example.edu`)).length, 1);
  const viewed = await entries(`action=payload.viewed&object=${message}`);
  assert.deepEqual(viewed.map((e) => e.actor), ["alan@example.edu"], "who saw nothing is not noted, and refreshing notes nothing");
  await api("GET", `/app/${app.id}/msg/${message}/`);
  assert.deepEqual((await entries(`action=payload.viewed&object=${message}`)).map((e) => e.actorKind), ["token", "user"]);
  await api("POST", `/app/${app.id}/msg/${message}/endpoint/${endpoint}/resend/`);
  assert.equal((await entries(`action=message.resent&object=${message}`))[0].actor, ORGANIZATION);
  for (const e of await entries("")) assert.doesNotMatch(JSON.stringify(e), /whsec_|ada@example\.org|four words/);
  const page = people.operator;
  await go(page, "/settings/audit");
  await check(page, "audit");
  await page.getByLabel("Action").selectOption("secret.rotated");
  await button(page, "Filter").click();
  await page.waitForURL(/action=secret\.rotated/);
  assert.equal(await page.locator("tbody tr").count(), 1);
  await page.getByLabel("Who").fill("nobody");
  await button(page, "Filter").click();
  await page.getByText("No entries like these.").waitFor();
  await go(page, "/settings/audit?since=tomorrow");
  assert.match(await page.getByRole("alert").innerText(), /Give a date and time/);
  await go(people.owner, `/applications/${app.id}/audit`);
  await check(people.owner, "audit-of-application");
  assert.doesNotMatch(await text(people.owner), /Made an API token.*organization/);
});

test("a portal in a frame: only where allowed, with its colour, dark, without navigation", async () => {
  const access = await api("POST", `/auth/app-portal-access/${app.id}/`, { capabilities: ["ViewBase"] });
  const themed = new URL(access.url);
  themed.searchParams.append("darkMode", "true");
  themed.searchParams.append("primaryColor", "5d4fff");
  themed.searchParams.append("hideNavigation", "true");
  embedder.portal = themed.href;
  const page = await visitor();
  await page.goto(embedder.url);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("heading", { name: "Endpoints" }).waitFor();
  assert.equal(await frame.locator("html").getAttribute("data-scheme"), "dark");
  assert.equal(await frame.locator(".rail, .top").count(), 0);
  await frame.getByRole("link", { name: /200/ }).click();
  await frame.getByRole("heading", { name: "Signing secret" }).waitFor();
  assert.equal(await frame.getByRole("button", { name: "Reveal secret" }).count(), 0);
  await page.screenshot({ path: new URL("../../target/screenshots/portal-framed.png", import.meta.url).pathname });
  const policy = async (path, headers = {}) => (await fetch(server.url + path, { headers, redirect: "manual" })).headers.get("content-security-policy");
  assert.match(await policy("/portal"), new RegExp(`frame-ancestors ${embedder.url}`));
  assert.match(await policy("/sign-in"), /frame-ancestors 'none'/);
  const cookies = (await people.operator.context_.cookies()).map((c) => `${c.name}=${c.value}`).join("; ");
  assert.match(await policy("/applications", { cookie: cookies }), /frame-ancestors 'none'/, "an operator's pages are in nobody's frame");
  const stranger = await serve((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(`<iframe src="${embedder.portal}"></iframe>`));
  await page.goto(stranger.url);
  await page.waitForLoadState("networkidle");
  assert.equal(await page.frameLocator("iframe").getByRole("heading", { name: "Endpoints" }).count(), 0);
  stranger.close();
});
