// Pictures of the dashboard, played by the demo. Run by scripts/screenshots.

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [binary, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const demo = spawn(binary, ["demo", "--rate", "20"], { stdio: ["ignore", "pipe", "inherit"] });
let said = "";
const link = await new Promise((found, failed) => {
  demo.on("exit", (code) => failed(new Error(`the demo ended with ${code}\n${said}`)));
  demo.stdout.on("data", (part) => {
    said += part;
    const match = said.match(/http:\S+\/sign-in\?token=\S+/);
    if (match) found(match[0]);
  });
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(link);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/applications");
  const base = new URL(page.url()).origin;
  // Until enough has happened to look at.
  await page.waitForTimeout(Number(process.env.SECONDS_BEFORE ?? 20) * 1000);
  const hrefs = (selector) => page.locator(selector).evaluateAll((links) => links.map((a) => a.getAttribute("href")));
  await page.reload();
  const applications = await hrefs("td:first-child a.row");
  let app, endpoint;
  for (const candidate of applications) {
    await page.goto(base + candidate);
    const endpoints = await hrefs("td:first-child a.row");
    if (endpoints.length) [app, endpoint] = [candidate, endpoints[0]];
    if (await page.locator(".state.failing").count()) break;
  }
  // Rooms that only some platforms have, from the first application that has them.
  const rooms = {};
  for (const candidate of applications) {
    await page.goto(base + candidate);
    for (const href of await hrefs(".rail nav a")) rooms[href.slice(candidate.length + 1)] ??= href;
  }
  await page.goto(`${base}${app}/messages`);
  const [message] = await hrefs("td:first-child a.row");
  await page.goto(`${base}${app}/events`);
  const [event] = await hrefs("ul.types a.row");
  const pages = {
    applications: "/applications",
    "application-settings": `${app}/settings`,
    endpoints: app,
    "add-endpoint": `${app}/endpoints/new`,
    endpoint,
    testing: `${endpoint}/testing`,
    logs: `${endpoint}/logs`,
    activity: `${endpoint}/activity`,
    advanced: `${endpoint}/advanced`,
    recover: `${endpoint}/recover`,
    messages: `${app}/messages`,
    message,
    events: `${app}/events`,
    event,
    ...Object.fromEntries(
      ["webhook", "submissions", "webfilters", "webfilters/bench", "webfilters/filters", "tools", "people"]
        .map((room) => [room.replace("/", "-"), room.includes("/") ? rooms.webfilters && `${rooms.webfilters}/${room.split("/")[1]}` : rooms[room]])
        .filter(([, href]) => href),
    ),
    ...Object.fromEntries(["people", "tokens", "alerts", "retention", "branding", "audit"].map((tab) => [`settings-${tab}`, `/settings/${tab}`])),
    components: "/components",
  };
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(base + path);
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.screenshot({ path: `${folder}/${name}-${scheme}.png`, fullPage: true });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.screenshot({ path: `${folder}/${name}-phone.png`, fullPage: true });
    await page.setViewportSize({ width: 1280, height: 900 });
    console.log(`${folder}/${name}-{light,dark,phone}.png`);
  }
} finally {
  demo.removeAllListeners("exit");
  await browser.close();
  demo.kill("SIGINT");
}
