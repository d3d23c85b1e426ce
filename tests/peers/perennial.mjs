// A running Perennial for the peers: the one that PERENNIAL_ISSUER names, else the built binary in `dev` mode, which
// brings the demo account and the demo clients.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const READY_WITHIN_MS = 60_000;

/** Starts it, or takes the one that is there; `stop` ends what was started. */
export async function startPerennial() {
  if (process.env.PERENNIAL_ISSUER) {
    return { issuer: process.env.PERENNIAL_ISSUER, stop: () => {} };
  }
  const binary = process.env.PERENNIAL_BIN ?? fileURLToPath(new URL("../../target/debug/perennial", import.meta.url));
  if (!existsSync(binary)) {
    throw new Error(`there is no ${binary}: run \`cargo build -p perennial\`, or name one in PERENNIAL_BIN`);
  }
  const args = ["dev", "--listen", "127.0.0.1:0", "--no-demo-traffic"];
  // A process group of its own, so that whatever it starts ends with it.
  const child = spawn(binary, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const stop = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch (error) {
      // ESRCH: it has ended by itself.
      if (error.code !== "ESRCH") throw error;
    }
  };
  process.once("exit", stop);
  return { issuer: await readyAddress(child, `${binary} ${args.join(" ")}`), stop };
}

/** The address in the line `ready http://…`. */
function readyAddress(child, command) {
  return new Promise((resolve, reject) => {
    let output = "";
    const fail = (why) => reject(new Error(`\`${command}\` ${why}; it wrote:\n${output}`));
    const late = setTimeout(() => fail(`was not ready within ${READY_WITHIN_MS / 1000} s`), READY_WITHIN_MS);
    const read = (chunk) => {
      output += chunk;
      const ready = /^ready (http\S+)$/m.exec(output);
      if (ready) {
        clearTimeout(late);
        resolve(ready[1].replace(/\/$/, ""));
      }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", (error) => fail(`does not start (${error.message})`));
    child.on("close", (code) => {
      clearTimeout(late);
      fail(`ended with ${code}`);
    });
  });
}
