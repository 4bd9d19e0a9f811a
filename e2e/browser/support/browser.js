// What the tests of pages share: a browser, and the look at a page that every page has to stand.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const SHOTS = new URL("../../../target/screenshots/", import.meta.url).pathname;
export const HOSTILE = `<script>window.hacked=1</script><img src=x onerror="window.hacked=1">"'&`;

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Debian's Chromium, which talks to nobody but us. */
export const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
};

export function launch() {
  mkdirSync(SHOTS, { recursive: true });
  return chromium.launch(CHROMIUM);
}

/** A browser whose profile lies in a folder; its context. */
export function launchIn(folder) {
  mkdirSync(SHOTS, { recursive: true });
  return chromium.launchPersistentContext(folder, { ...CHROMIUM, headless: true, viewport: { width: 1280, height: 900 } });
}

/** No violation that axe finds, nothing scrolls sideways on a phone, nothing hostile ran; a screenshot of each look. */
export async function check(page, name) {
  // A link was followed just before, perhaps, and its page is only beginning.
  await page.waitForLoadState();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    const { violations } = await page.evaluate(`${AXE}; axe.run({ runOnly: ${JSON.stringify(RULES)} })`);
    const found = violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
    assert.deepEqual(found, [], `${name}, ${scheme}`);
    await page.screenshot({ path: `${SHOTS}${name}-${scheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
  const usual = page.viewportSize();
  await page.setViewportSize({ width: 360, height: 740 });
  const wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  await page.screenshot({ path: `${SHOTS}${name}-phone.png`, fullPage: true });
  await page.setViewportSize(usual);
  assert.equal(wide, 0, `${name} scrolls sideways on a phone`);
  assert.equal(await page.evaluate("window.hacked"), undefined, name);
}
