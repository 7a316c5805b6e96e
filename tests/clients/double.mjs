// Starts a double of the simulator on a free port, and orders its faults. With STUDIO_COCKPIT_GATEWAY set, a whole
// cockpit stands before it, and clients are given its gateway's address instead.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { cockpit } from "./cockpit.mjs";

export const program = process.env.STUDIO_COCKPIT ?? "../../target/debug/studio-cockpit";

/** A double: `origin` is where clients ask. It ends with the tests of the file. */
export async function double(what, ...flags) {
  const child = spawn(
    program,
    ["simulate", what, "--port", "0", "--tokens-per-second", "0", ...flags],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  after(() => child.kill("SIGKILL"));
  const origin = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the ${what} double ended with ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const found = /istening on (127\.0\.0\.1:\d+)/.exec(line);
      if (found) resolve(`http://${found[1]}`);
    });
  });
  const ask = async (path, method = "GET", body = undefined) => {
    const answer = await fetch(origin + path, {
      method,
      body: body && JSON.stringify(body),
      headers: { "content-type": "application/json" },
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? undefined : answer.json();
  };
  const before = process.env.STUDIO_COCKPIT_GATEWAY
    ? await cockpit(providers({ [what]: { kind: what, origin } }))
    : undefined;
  return {
    origin: before?.gateway ?? origin,
    /** Where it listens itself. */
    own: origin,
    /** The cockpit before it, if one is. */
    cockpit: before,
    /** Puts a fault in force for everybody. */
    fault: (order) => ask("/_fault", "POST", order),
    /** Takes all faults back. */
    mend: () => ask("/_fault", "DELETE"),
    /** The last requests, oldest first. */
    requests: () => ask("/_requests"),
  };
}

/** Providers as a cockpit.toml has them, each with nothing but its address. */
export function providers(all) {
  return Object.entries(all)
    .map(([name, { kind, origin, more = "" }]) => {
      const base = kind === "openai" ? `${origin}/v1` : origin;
      return `[providers.${name}]\nkind = "${kind}"\nbase_url = "${base}"\n${more}\n`;
    })
    .join("\n");
}

/** All of a stream. */
export async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

/** Asks until the answer holds, and gives it. */
export async function until(what, ask, patience = 60_000) {
  const end = Date.now() + patience;
  let last;
  for (;;) {
    last = await ask();
    if (last) return last;
    if (Date.now() > end) throw new Error(`never saw: ${what}; last: ${JSON.stringify(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A tool with a schema, as OpenAI and Ollama take it. */
export const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string" },
        unit: { type: "string", enum: ["celsius", "fahrenheit"] },
        days: { type: "integer" },
      },
      required: ["city"],
      additionalProperties: false,
    },
  },
};

/** Whether arguments are what the tool's schema wants. */
export function isWeather(found) {
  return (
    typeof found.city === "string" &&
    ["celsius", "fahrenheit"].includes(found.unit) &&
    Number.isInteger(found.days)
  );
}

/** A picture of one pixel. */
export const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";
