// A person at a browser: headless Chromium signs in by the pages' element ids.

import { createServer } from "node:http";
import { join } from "node:path";

import { chromium } from "playwright-core";

const CHROMIUM = "/usr/bin/chromium";
// Chromium may run as root in a container, and must not call home on a machine whose network is closed.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const SCREENS = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };

/** Where the client's application listens: `callback` resolves with the address that the browser is sent to. */
export async function startApplication() {
  let arrived;
  const callback = new Promise((resolve) => (arrived = resolve));
  const server = createServer((request, response) => {
    response.end("signed in");
    const url = new URL(request.url, redirectUri());
    if (url.pathname === "/callback") arrived(url);
  });
  const redirectUri = () => `http://127.0.0.1:${server.address().port}/callback`;
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { redirectUri: redirectUri(), callback, stop };
}

/** Opens the authorization request and signs in; pictures of the sign-in page go to `pictures`. */
export async function signIn(authorizationUrl, { username, password, callback, pictures }) {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  try {
    const page = await browser.newPage();
    await page.goto(authorizationUrl.href);
    await page.waitForSelector("#sign-in");
    for (const [name, size] of Object.entries(SCREENS)) {
      await page.setViewportSize(size);
      await page.screenshot({ path: join(pictures, `sign-in-${name}.png`) });
    }
    await page.fill("#username", username);
    await page.fill("#password", password);
    await page.click("#sign-in");
    // Consent is asked only where a client needs it, so whichever comes first decides.
    const consent = page.waitForSelector("#consent-allow").then((button) => button.click());
    // Once the browser is at the application, nobody waits for that button any more.
    consent.catch(() => {});
    return await Promise.race([callback, failure(page, consent, callback)]);
  } finally {
    await browser.close();
  }
}

/** Rejects with what the page says when it leads neither to consent nor to the application. */
async function failure(page, consent, callback) {
  try {
    await consent;
    return await callback;
  } catch (error) {
    throw new Error(`signing in ends at ${page.url()}:\n${await page.innerText("body")}`, { cause: error });
  }
}
