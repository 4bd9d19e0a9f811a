// A browser that is signed in.

import { launch } from "./browser.js";

/** A browser with a page on which the operator is signed in. */
export async function signedIn(server) {
  const browser = await launch();
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(60_000);
  await page.goto(server.signInLink(server.url));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/applications");
  return { browser, page };
}
