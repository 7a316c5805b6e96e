// A whole cockpit with an open gateway, for clients to ask.

import { spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { program, until } from "./double.mjs";

/** A port that is free now. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Whether somebody listens there. */
function isOpen(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true) || socket.destroy());
    socket.once("error", () => resolve(false));
  });
}

/** Starts one with this configuration; it ends with the tests of the file. */
export async function cockpit(config) {
  const [door, gateway] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), "cockpit-clients-"));
  const listen = (what, port) => `[${what}]\nlisten = "127.0.0.1:${port}"\n\n`;
  writeFileSync(
    join(folder, "cockpit.toml"),
    listen("cockpit", door) + listen("gateway", gateway) + config,
  );
  const log = join(folder, "said.log");
  const out = openSync(log, "w");
  const child = spawn(program, ["serve", "--stop-services", "--data-dir", folder], {
    stdio: ["ignore", out, out],
  });
  let ended = false;
  const end = new Promise((resolve) => child.once("exit", resolve)).then(() => (ended = true));
  after(async () => {
    // Its services end with it.
    child.kill("SIGTERM");
    await end;
    rmSync(folder, { recursive: true, force: true });
  });
  await until("the gateway is open", async () => {
    if (ended) throw new Error(`the cockpit ended: ${readFileSync(log, "utf8")}`);
    return (await isOpen(door)) && (await isOpen(gateway));
  });
  const token = readFileSync(join(folder, "token"), "utf8").trim();
  const ask = async (path) => {
    const answer = await fetch(`http://127.0.0.1:${door}${path}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const get = async (path) => (await ask(path)).json();
  return {
    gateway: `http://127.0.0.1:${gateway}`,
    /** What the API answers, from JSON. */
    get,
    /** The same as text. */
    text: async (path) => (await ask(path)).text(),
    /** What is written down of a call, by the id that its answer carried. */
    call: (id) =>
      until(`call ${id}`, async () => {
        const { calls } = await get("/api/calls?window=1h&limit=1000");
        return calls.find((call) => call.id === id);
      }),
  };
}
