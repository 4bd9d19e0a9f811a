// The API as tests call it to set a stage.

import assert from "node:assert/strict";

/** A function that calls the API with a token, and gives back what was answered; it fails where the API does not agree. */
export function caller(server, token) {
  return async (method, path, body) => {
    const answer = await fetch(`${server.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer.status === 204 ? null : answer.json();
  };
}
