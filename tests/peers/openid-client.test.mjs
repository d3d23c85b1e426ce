// An unmodified openid-client: discovery, code with PKCE through a real browser, userinfo, fifty refreshes, the end.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as client from "openid-client";

import { signIn, startApplication } from "./browser.mjs";
import { startPerennial } from "./perennial.mjs";

const REFRESHES = 50;
const LONGEST = { timeout: 120_000 };

let perennial;
before(async () => {
  perennial = await startPerennial();
});
after(() => perennial?.stop());

test("signs in through a browser, stays signed in for 50 refreshes, and revokes", LONGEST, async (t) => {
  const config = await discover("demo-web", client.None());
  const application = await startApplication();
  t.after(application.stop);

  const tokens = await codeFlow(config, application);
  const { sub } = tokens.claims();
  const user = await client.fetchUserInfo(config, tokens.access_token, sub);
  assert.equal(user.sub, sub);

  const newest = await refresh(config, tokens, REFRESHES);
  const stillUser = await client.fetchUserInfo(config, newest.access_token, sub);
  assert.equal(stillUser.sub, sub, "the last access token is as good as the first");

  await client.tokenRevocation(config, newest.refresh_token);
  await assert.rejects(client.refreshTokenGrant(config, newest.refresh_token), (error) => {
    assert.equal(error.error, "invalid_grant");
    assert.equal(error.status, 400);
    return true;
  });
});

test("a service gets a token of its own", LONGEST, async () => {
  const config = await discover("demo-service", client.ClientSecretBasic("demo-service-secret"));
  const tokens = await client.clientCredentialsGrant(config);
  assert.ok(tokens.access_token);
  assert.equal(tokens.refresh_token, undefined, "RFC 6749, 4.4.3: none for a client's own credentials");
});

/** Discovery as the library does it; it must be told that plain http is fine on loopback. */
function discover(clientId, authentication) {
  const issuer = new URL(perennial.issuer);
  const options = issuer.protocol === "http:" ? { execute: [client.allowInsecureRequests] } : {};
  return client.discovery(issuer, clientId, undefined, authentication, options);
}

/** The code flow with PKCE, state and nonce, all of which the library checks. */
async function codeFlow(config, { redirectUri, callback }) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const expectedNonce = client.randomNonce();
  const request = client.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: "openid profile offline_access",
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: expectedState,
    nonce: expectedNonce,
  });
  const pictures = mkdtempSync(join(tmpdir(), "perennial-sign-in-"));
  console.log(`pictures of the sign-in page: ${pictures}`);
  const person = { username: "ada", password: "correct horse battery staple" };
  const answer = await signIn(request, { ...person, callback, pictures });
  const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true };
  const tokens = await client.authorizationCodeGrant(config, answer, checks);
  assert.ok(tokens.refresh_token, "offline_access brings a refresh token");
  return tokens;
}

/** So many refreshes in a row, each with the newest token; returns the last answer. */
async function refresh(config, tokens, times) {
  const seen = new Set([tokens.refresh_token]);
  let newest = tokens;
  for (let nth = 1; nth <= times; nth += 1) {
    newest = await client.refreshTokenGrant(config, newest.refresh_token);
    assert.ok(newest.access_token, `refresh ${nth} brings an access token`);
    assert.ok(newest.refresh_token, `refresh ${nth} brings a refresh token`);
    assert.ok(!seen.has(newest.refresh_token), `refresh ${nth} brings a new refresh token`);
    seen.add(newest.refresh_token);
  }
  return newest;
}
