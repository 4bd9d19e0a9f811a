// A receiver of webhooks on Node's own HTTP server.

import { createServer } from "node:http";
import { once } from "node:events";

/** Calls `read` until it gives something true, and returns that. */
export async function eventually(read, what = "it did not come true", timeout = 30_000) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await read();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what} within ${timeout} ms`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

export async function startReceiver() {
  const hooks = new Map();
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const hook = hooks.get(request.url);
    const received = { headers: request.headers, body: Buffer.concat(parts).toString() };
    hook?.received.push(received);
    response.writeHead(hook ? hook.answer(received) : 404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const base = `http://127.0.0.1:${server.address().port}`;
  return {
    /** An address of its own that answers 200 until told otherwise. */
    hook() {
      const path = `/hook/${hooks.size + 1}`;
      const hook = {
        url: base + path,
        received: [],
        answer: () => 200,
        wait: (count = 1) =>
          eventually(() => hook.received.length >= count && hook.received, `${count} requests did not arrive`),
      };
      hooks.set(path, hook);
      return hook;
    },
    stop() {
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}
