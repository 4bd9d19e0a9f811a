// The dashboard for people of Repl.it Classroom, Teachstack and Instruqt, in a real browser: what their documentation
// says they click, and what they are told before student data leaves. Screenshots land in target/screenshots.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { startServer } from "../javascript/support/server.js";
import { caller } from "./support/api.js";
import { check } from "./support/browser.js";
import { signedIn } from "./support/page.js";

const ORGANIZATION = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
const FIXTURES = new URL("../../crates/platforms/fixtures/", import.meta.url);
const fixture = (name) => JSON.parse(readFileSync(new URL(name, FIXTURES), "utf8"));

let server, receiver, browser, page, api;
const apps = {};

async function startReceiver() {
  const received = [];
  const http = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      received.push({ path: request.url, body, headers: request.headers });
      const secret = request.headers["x-hook-secret"];
      const confirms = secret && request.url.startsWith("/confirms");
      response.writeHead(200, confirms ? { "x-hook-secret": secret } : {}).end("ok");
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return { http, received, url: `http://127.0.0.1:${http.address().port}` };
}

const go = (path) => page.goto(server.url + path);
const button = (name) => page.getByRole("button", { name, exact: true });
const link = (name) => page.getByRole("link", { name, exact: true });
const here = () => new URL(page.url()).pathname;
const endpointsOf = async (app) => (await api("GET", `/app/${apps[app].id}/endpoint/`)).data;

/** Waits until the receiver has got something that fits. */
async function arrives(fits) {
  const until = Date.now() + 60_000;
  for (;;) {
    const found = receiver.received.find(fits);
    if (found) return found;
    assert.ok(Date.now() < until, "nothing like it arrived");
    await new Promise((done) => setTimeout(done, 20));
  }
}

before(async () => {
  server = await startServer();
  receiver = await startReceiver();
  api = caller(server, server.token(ORGANIZATION));
  ({ browser, page } = await signedIn(server));
});

after(async () => {
  await browser?.close();
  receiver?.http.closeAllConnections();
  receiver?.http.close();
  await server?.stop();
});

test("an application is made with a platform, which the dashboard names", async () => {
  for (const [platform, title, name] of [
    ["replit", "Repl.it Classroom", "CS 101"],
    ["teachstack", "Teachstack", "Harbour Tutoring"],
    ["instruqt", "Instruqt", "Brightline Labs"],
  ]) {
    await go("/applications/new");
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Platform").selectOption({ label: title });
    await button("Create application").click();
    await page.getByRole("heading", { name: "Endpoints", exact: true }).waitFor();
    assert.equal(await page.locator(".rail .who .quiet").innerText(), title);
    apps[platform] = (await api("GET", "/app/")).data.find((a) => a.name === name);
    assert.equal(apps[platform].platform, platform);
  }
  await go("/applications");
  await check(page, "platforms-applications");
});

test("Teachstack: three steps, https only, and nothing ticked means nothing", async () => {
  await go(`/applications/${apps.teachstack.id}`);
  assert.equal(await link("Webhook settings").count(), 0);
  await link("Add endpoint").click();
  await page.getByLabel("Address").fill("http://school.example/hooks");
  await button("Choose events").click();
  assert.match(await page.locator("#url-problem").innerText(), /https/);
  await page.getByLabel("Address").fill(`${receiver.url}/teachstack`);
  await button("Choose events").click();
  await page.getByText("Nothing ticked means nothing is sent").waitFor();
  await page.getByText("Receiving nothing until something is ticked").waitFor();
  assert.equal(await page.locator("[data-choice]").count(), 7, "only the seven events of the platform");
  await check(page, "teachstack-events");
  await button("Review").click();
  await page.getByText("None: nothing is sent until events are ticked").waitFor();
  await page.getByText("Nothing about people leaves").waitFor();
  assert.equal(await page.locator(".warning").count(), 0);
  await button("Back").click();
  await page.getByLabel(/peer\.joined/).check();
  await page.getByLabel(/peer\.left/).check();
  await button("Review").click();
  const warning = page.locator(".warning");
  await warning.getByRole("heading", { name: "Student data goes to 127.0.0.1" }).waitFor();
  assert.match(await warning.innerText(), /Names a person\s+peer\.name/);
  await check(page, "teachstack-review");
  await button("Add endpoint").click();
  assert.match(await page.getByRole("alert").innerText(), /Tick the box/);
  await page.getByLabel(/may get this data/).check();
  await page.getByLabel("Your name").fill("Ada Example, head");
  await button("Add endpoint").click();
  await page.getByText("The endpoint was added.").waitFor();
  assert.match(await page.locator(".facts").first().innerText(), /Confirmed by Ada Example, head for 127\.0\.0\.1/);
  await check(page, "teachstack-endpoint");
  const [endpoint] = await endpointsOf("teachstack");
  assert.deepEqual(endpoint.eventTypes, ["peer.joined", "peer.left"]);
  assert.equal(endpoint.onlySelected, true, "the platform's own way stays");
  assert.equal(endpoint.httpsOnly, true);
  assert.equal(endpoint.studentData.confirmedBy, "Ada Example, head");
});

test("an endpoint on which nothing is ticked keeps the platform's way, and sends nothing", async () => {
  await go(`/applications/${apps.teachstack.id}/endpoints/new`);
  await page.getByLabel("Address").fill(`${receiver.url}/nothing`);
  await button("Choose events").click();
  await button("Review").click();
  await button("Add endpoint").click();
  await page.getByText("The endpoint was added.").waitFor();
  await page.getByText("nothing until events are ticked").waitFor();
  await api("POST", `/app/${apps.teachstack.id}/msg/`, { eventType: "peer.joined", payload: fixture("teachstack/peer.joined.payload.json") });
  await arrives((r) => r.path === "/teachstack");
  assert.equal(receiver.received.some((r) => r.path === "/nothing"), false);
  assert.equal((await endpointsOf("teachstack")).find((e) => e.url.endsWith("/nothing")).studentData, undefined);
});

test("a wider selection and another address ask anew, a narrower one does not", async () => {
  await go(`/applications/${apps.teachstack.id}`);
  await page.getByRole("link", { name: /\/teachstack$/ }).click();
  const endpoint = here();
  await link("Edit events").click();
  await page.getByLabel(/peer\.left/).uncheck();
  await button("Save").click();
  await page.getByText("Events was saved.").waitFor();
  await link("Edit events").click();
  await page.getByLabel(/recording\.processed/).check();
  await button("Save").click();
  await page.getByRole("heading", { name: "Student data goes to 127.0.0.1" }).waitFor();
  assert.equal(await page.getByLabel(/recording\.processed/).isChecked(), true, "what was ticked stays ticked");
  await check(page, "edit-asks-anew");
  await button("Save").click();
  assert.match(await page.getByRole("alert").innerText(), /Tick the box/);
  assert.deepEqual((await endpointsOf("teachstack")).at(-1).eventTypes, ["peer.joined"], "nothing was saved yet");
  await page.getByLabel(/may get this data/).check();
  await page.getByLabel("Your name").fill("Ben Example");
  await button("Save").click();
  await page.getByText("Events was saved.").waitFor();
  await page.getByText("Confirmed by Ben Example").waitFor();
  await link("Edit address").click();
  await page.getByLabel("Address").fill(`${receiver.url}/moved`);
  await button("Save").click();
  await page.getByRole("heading", { name: "Student data goes to 127.0.0.1" }).waitFor();
  assert.equal(await page.getByLabel("Address").inputValue(), `${receiver.url}/moved`);
  await link("Cancel").click();
  // A program moves it: nobody was asked, and the page says so.
  await api("PATCH", `/app/${apps.teachstack.id}/endpoint/${endpoint.split("/").at(-1)}/`, { url: `${receiver.url}/moved` });
  await page.reload();
  await page.getByText("To be confirmed again").waitFor();
  await link("Confirm student data").click();
  await check(page, "student-data-outdated");
  await page.getByLabel(/may get this data/).check();
  await button("Confirm").click();
  await page.getByText("The confirmation was recorded.").waitFor();
  await check(page, "student-data-given");
  await button("Withdraw confirmation").click();
  await page.getByText("The confirmation was withdrawn.").waitFor();
  await page.getByText("Nobody confirmed this yet").waitFor();
});

test("Repl.it: webhook settings with the key shown and refreshed, and a longer retry in one choice", async () => {
  await go(`/applications/${apps.replit.id}`);
  await link("Webhook settings").click();
  await check(page, "classroom-empty");
  await page.getByLabel("Endpoint URL").fill(`${receiver.url}/data`);
  await button("Review").click();
  const warning = await page.locator(".warning").innerText();
  assert.match(warning, /outside of this system/);
  assert.match(warning, /Names a person\s+student\.email/);
  await check(page, "classroom-review");
  await page.getByLabel(/may get this data/).check();
  await page.getByLabel("Your name").fill("Ms Maple");
  await button("Add endpoint").click();
  await page.getByText("The endpoint was added.").waitFor();
  await link("Webhook settings").click();
  assert.equal(await page.getByLabel(/Ten tries, ten seconds apart/).isChecked(), true);
  const [{ id }] = await endpointsOf("replit");
  const secret = async () => (await api("GET", `/app/${apps.replit.id}/endpoint/${id}/body-secret/`)).key;
  const first = await secret();
  assert.equal((await page.content()).includes(first), false, "hidden until asked for");
  await check(page, "classroom");
  await button("Show key").click();
  assert.equal(await page.locator(".secret").innerText(), first);
  await link("Refresh key…").click();
  await page.getByRole("dialog").getByRole("button", { name: "Refresh secret" }).click();
  await page.getByText("There is a new secret in the body.").waitFor();
  const second = await secret();
  assert.notEqual(second, first);
  await button("Show secret").click();
  assert.equal(await page.locator(".secret").innerText(), second);
  await check(page, "body-secret");
  await page.getByLabel("One of your own").fill("not a uuid");
  await button("Replace secret").click();
  assert.match(await page.locator("#key-problem").innerText(), /UUID/);

  await go(`/applications/${apps.replit.id}/webhook`);
  await page.getByLabel(/Ten tries in about three days/).check();
  await button("Save settings").click();
  await page.getByText("The settings were saved.").waitFor();
  const patient = (await endpointsOf("replit"))[0];
  assert.deepEqual([patient.retrySchedule.length, patient.finalStatuses], [9, undefined]);
  await page.getByLabel("Endpoint URL").fill(`${receiver.url}/data2`);
  await button("Save settings").click();
  await page.getByRole("heading", { name: "Student data goes to 127.0.0.1" }).waitFor();
  await page.getByLabel(/may get this data/).check();
  await button("Save settings").click();
  await page.getByText("The settings were saved.").waitFor();
  await page.getByLabel("Endpoint URL").fill("nonsense");
  await button("Save settings").click();
  await page.getByRole("alert").waitFor();
  assert.equal((await endpointsOf("replit"))[0].url, `${receiver.url}/data2`);

  const payload = fixture("replit/manual_submitted.payload.json");
  await api("POST", `/app/${apps.replit.id}/msg/`, { eventType: "student_submits_assignment", payload });
  const delivered = JSON.parse((await arrives((r) => r.path === "/data2")).body);
  assert.equal(delivered.classroom.webhook_secret, second);
});

test("Repl.it: what a student handed in for an assignment, with the files", async () => {
  const payload = fixture("replit/main_file_first.payload.json");
  for (const [n, student, name, assignment] of [[1, 7, "Ada", 1], [2, 8, "Ben <b>", 1], [3, 7, "Ada", 2], [4, 7, "Ada", 1]]) {
    payload.student.id = student;
    payload.student.first_name = name;
    payload.assignment.id = assignment;
    payload.assignment.name = `Loops: ${assignment}) Countdown`;
    payload.submission.id = 1000 + n;
    await api("POST", `/app/${apps.replit.id}/msg/`, { eventType: "student_submits_assignment", payload });
  }
  await go(`/applications/${apps.replit.id}`);
  await link("Submissions").click();
  assert.equal(await page.locator("tbody tr").count(), 5);
  await page.locator("tbody tr").first().locator("summary").first().click();
  await check(page, "submissions");
  await page.locator("tbody tr").first().getByRole("link", { name: /^Ada/ }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 3);
  await page.locator("tbody tr").first().getByRole("link", { name: "Loops: 1) Countdown" }).click();
  await page.waitForURL(/student=7&assignment=1/);
  assert.deepEqual(await page.locator("td[data-label=Assignment] small").allInnerTexts(), ["submission 1004", "submission 1001"]);
  await page.locator("main").getByText(/newest first/).waitFor();
  await page.getByLabel("Student id").fill("somebody");
  await button("Filter").click();
  assert.match(await page.getByRole("alert").innerText(), /whole numbers/);
  await go(`/applications/${apps.replit.id}/submissions?student=99`);
  await page.getByText("Nothing like this is stored").waitFor();
  assert.equal((await fetch(`${server.url}/applications/${apps.instruqt.id}/submissions`, { redirect: "manual" })).status, 303);
  assert.equal((await go(`/applications/${apps.instruqt.id}/submissions`)).status(), 404);
  assert.equal((await go(`/applications/${apps.instruqt.id}/webhook`)).status(), 404);
});

test("Instruqt: add, edit, test and delete an endpoint as its documentation says", async () => {
  const base = `/applications/${apps.instruqt.id}`;
  await go(base);
  await link("Add endpoint").click();
  await page.getByLabel("Address").fill(`${receiver.url}/instruqt`);
  await button("Choose events").click();
  await page.getByText("Receiving all events").waitFor();
  assert.equal(await page.locator("[data-choice]").count(), 17);
  await button("Review").click();
  await page.getByText("All: 17 today").waitFor();
  await page.getByLabel(/may get this data/).check();
  await button("Add endpoint").click();
  await page.getByText("The endpoint was added.").waitFor();
  const endpoint = here();
  await link("Edit description").click();
  await page.getByLabel("Description").fill("Sales dashboard");
  await button("Save").click();
  await page.getByText("Sales dashboard").waitFor();
  await link("Testing").click();
  await page.getByRole("combobox", { name: "Event" }).selectOption("track.challenge_attempted");
  await button("Show example").click();
  await button("Send test event").click();
  await page.locator("#answer .state.delivered").waitFor();
  const test = await arrives((r) => r.path === "/instruqt");
  assert.equal(JSON.parse(test.body).type, "track.challenge_attempted");
  assert.ok(test.headers["svix-signature"]);
  await link("Logs").click();
  await page.getByRole("row", { name: /track\.challenge_attempted/ }).waitFor();
  await link("Activity").click();
  await page.locator("svg.chart").first().waitFor();
  await go(endpoint);
  await link("Edit events").click();
  await page.getByLabel("All of Review").check();
  await button("Save").click();
  await page.getByText("Events was saved.").waitFor();
  assert.deepEqual((await endpointsOf("instruqt"))[0].eventTypes, ["review.created", "review.updated"]);
  await page.getByLabel("More about this endpoint").click();
  await link("Delete…").click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete endpoint" }).click();
  await page.getByText("The endpoint was deleted.").waitFor();
  assert.deepEqual(await endpointsOf("instruqt"), []);
});

test("a receiver can be asked before its endpoint is added", async () => {
  for (const [path, agrees] of [["/silent", false], ["/confirms", true]]) {
    await go(`/applications/${apps.instruqt.id}/endpoints/new`);
    await page.getByLabel("Address").fill(receiver.url + path);
    await button("Choose events").click();
    await button("Review").click();
    await page.getByText("More options").click();
    await page.getByLabel("Ask the receiver first").selectOption({ label: "It has to repeat X-Hook-Secret" });
    await page.getByLabel(/may get this data/).check();
    await button("Add endpoint").click();
    if (agrees) await page.getByText("The endpoint was added.").waitFor();
    else assert.match(await page.getByRole("alert").innerText(), /X-Hook-Secret/);
  }
  assert.deepEqual((await endpointsOf("instruqt")).map((e) => e.url), [`${receiver.url}/confirms`]);
});

test("filter and transform are tried on an example before they are saved", async () => {
  const [{ id }] = await endpointsOf("replit");
  await go(`/applications/${apps.replit.id}/endpoints/${id}/advanced`);
  await check(page, "platforms-advanced");
  await link("Edit and try filter and transform").click();
  const seen = receiver.received.length;
  assert.match(await page.getByLabel("Payload to try it on").inputValue(), /"assignment"/);
  await page.getByLabel("Filter", { exact: true }).fill('.submission.status ==');
  await button("Try it").last().click();
  assert.match(await page.locator("#filter-problem").innerText(), /character/);
  await page.getByLabel("Filter", { exact: true }).fill('.submission.status == "nothing"');
  await button("Try it").last().click();
  await page.getByText("The filter says no.").waitFor();
  await page.getByLabel("Filter", { exact: true }).fill("");
  await page.getByLabel("Transform").fill('.student |= (.first_name = "" |\n.last_name = "" | .email = "")');
  await button("Try it").last().click();
  await page.getByText("Would be sent").waitFor();
  const body = JSON.parse(await page.locator("#tried pre").innerText());
  assert.deepEqual([body.student.email, body.event_name], ["", "student_submits_assignment"]);
  assert.match(body.classroom.webhook_secret, /^\*+/);
  await check(page, "expressions-sent");
  await page.getByLabel("Transform").fill(".student + 1");
  await button("Try it").last().click();
  await page.getByText(/In the transform: /).waitFor();
  await check(page, "expressions-failed");
  await page.getByLabel("Payload to try it on").fill("{");
  await button("Try it").last().click();
  await page.getByText("This is not JSON.").waitFor();
  await page.getByLabel("Transform").fill("del(.student.email)");
  await button("Save filter and transform").click();
  await page.getByText("Filter and transform were saved.").waitFor();
  assert.equal((await endpointsOf("replit"))[0].transform, "del(.student.email)");
  assert.equal(receiver.received.length, seen, "trying sent nothing");
});

test("what new endpoints start out with is changed for the application, and taken back", async () => {
  const path = `/applications/${apps.teachstack.id}/settings`;
  await go(path);
  await link("What new endpoints start out with").click();
  await page.getByLabel(/HTTPS only/).waitFor();
  await check(page, "new-endpoints");
  assert.ok(await page.getByLabel(/HTTPS only/).isChecked(), "as the platform says");
  await page.getByLabel(/Waits between tries/).fill("soon");
  await button("Save").click();
  assert.equal(await page.getByLabel(/Waits between tries/).getAttribute("aria-invalid"), "true");
  await page.getByLabel(/Waits between tries/).fill("5s, 1m");
  await page.getByLabel(/HTTPS only/).uncheck();
  await button("Save").click();
  await page.getByText("Changed for this application: not as Teachstack says.").waitFor();
  await check(page, "new-endpoints-changed");
  const made = await api("POST", `/app/${apps.teachstack.id}/endpoint/`, { url: "http://example.com/" });
  assert.deepEqual([made.retrySchedule, made.format, made.httpsOnly], [["5s", "1m"], "teachstack", undefined]);
  await api("DELETE", `/app/${apps.teachstack.id}/endpoint/${made.id}/`);
  await button("Reset to Teachstack's defaults").click();
  await page.getByText("Saved. Endpoints that are added from now on").waitFor();
  assert.ok((await api("GET", `/app/${apps.teachstack.id}/`)).endpointDefaults.httpsOnly);
});

test("what surrounds the body has its own forms: signature headers, https only, nothing ticked, waits", async () => {
  const [{ id }] = await endpointsOf("replit");
  const advanced = `/applications/${apps.replit.id}/endpoints/${id}/advanced`;
  const stored = async () => (await endpointsOf("replit"))[0];
  await go(advanced);
  await link("Edit signature headers").click();
  await page.getByLabel(/Send the headers/).uncheck();
  await button("Save").click();
  await page.getByText("Signature headers was saved.").waitFor();
  assert.equal((await stored()).signatureHeaders, false);
  await link("Edit https only").click();
  await page.getByLabel(/Take only addresses/).check();
  await check(page, "edit-https-only");
  await button("Save").click();
  await page.getByText("https only", { exact: true }).waitFor();
  assert.equal((await stored()).httpsOnly, true);
  await link("Edit what nothing ticked means").click();
  await page.getByLabel(/send nothing/).check();
  await button("Save").click();
  await page.locator("dd", { hasText: "nothing is sent" }).waitFor();
  await link("Edit waits").click();
  await check(page, "edit-waits");
  await button("Ten tries, ten seconds apart; 404 is final").click();
  await page.getByText("Waits between tries was saved.").waitFor();
  assert.deepEqual((await stored()).finalStatuses, [404]);
});
