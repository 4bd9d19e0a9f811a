// Starts and ends the real binary on a free port and in a folder of its own.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBytes, randomInt, webcrypto } from "node:crypto";

// The SDK wants the global that Node has since version 19.
globalThis.crypto ??= webcrypto;

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const binary = process.env.SCHOOLBELL_BIN ?? join(root, "target/debug/schoolbell");

/** Below those that the system hands out by itself, so that nothing takes it while the server is down. */
async function freePort() {
  for (;;) {
    const port = randomInt(20_000, 26_000);
    const probe = createServer();
    const free = await new Promise((done) => probe.once("error", () => done(false)).listen(port, "127.0.0.1", () => done(true)));
    if (!free) continue;
    await new Promise((done) => probe.close(done));
    return port;
  }
}

/** Runs `schoolbell serve` and waits for the line that says where it listens. `more` adds settings, made from its address. */
export async function startServer(more = () => []) {
  const folder = mkdtempSync(join(tmpdir(), "schoolbell-e2e-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const database = ["--database", `sqlite:${join(folder, "schoolbell.db")}`];
  const settings = ["--allow-subnets", "127.0.0.0/8", "--retry-schedule", "1ms,1ms", "--request-timeout", "2s"].concat(more(url));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SCHOOLBELL_")));
  env.SCHOOLBELL_JWT_SECRET = randomBytes(32).toString("hex");

  let log = "";
  let child;
  const start = () => new Promise((listening, failed) => {
    child = spawn(binary, ["serve", "--listen", `127.0.0.1:${port}`, ...database, ...settings], { cwd: folder, env });
    log = "";
    const timer = setTimeout(() => failed(new Error(`the server did not say where it listens\n${log}`)), 60_000);
    const settle = (outcome, value) => (clearTimeout(timer), outcome(value));
    child.on("error", (error) => settle(failed, error));
    child.on("exit", (code) => settle(failed, new Error(`the server ended with ${code}\n${log}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (part) => {
        log += part;
        if (stream === child.stdout && log.includes(url)) settle(listening);
      });
    }
  });
  const end = async () => {
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    await ended;
  };
  await start();

  return {
    url,
    restart: async () => (await end(), await start()),
    log: () => log,
    /** What `schoolbell sign-in` prints for this server's address. */
    signInLink: (url) =>
      execFileSync(binary, ["sign-in", ...database, "--public-url", url], { cwd: folder, env, encoding: "utf8" }).trim(),
    /** What `schoolbell token` prints. */
    token: (organization) =>
      execFileSync(binary, ["token", ...database, organization], { cwd: folder, env, encoding: "utf8" }).trim(),
    stop: async () => {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** An organization id that nobody used before. */
export function newOrganization() {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return "org_2" + Array.from(randomBytes(26), (byte) => alphabet[byte % 62]).join("");
}
