// Runs the checks of one official suite against a server of its own.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ServerProcess } from "../lib/control.js";
import { runTests } from "../lib/tests.js";

const checkTimeout = 60_000; // ms, of all attempts
const suiteTimeout = 180_000; // ms

const { values: flags } = parseArgs({ options: { server: { type: "string" }, oracle: { type: "boolean" } } });

/** True if the server under test is one of Node.js. */
export const oracle = Boolean(flags.oracle);

/**
 * In every check some milliseconds count, as the suites want it: a client has 200 of them to answer a ping. On a busy
 * machine it may be late, so a check is tried again. A server that is wrong fails each time.
 */
const patiently = (check) => async (base) => {
  for (let left = 5; ; left--) {
    try {
      return await check(base);
    } catch (error) {
      if (left === 0) throw error;
    }
  }
};

/**
 * Starts the server, runs the checks, and sets the exit code. Each check is
 * [what holds, name of the official test, function]. failing lists official tests that the
 * server of Node.js does not pass, with the reason; there they must fail.
 */
export async function runSuite(name, { args = [], checks, failing = {} }) {
  console.log(name);
  const timer = setTimeout(() => {
    console.error(`${name}: not done within ${suiteTimeout} ms`);
    process.exit(1);
  }, suiteTimeout);
  const server = oracle
    ? await ServerProcess.start("Node.js", process.execPath, [fileURLToPath(new URL("oracle.js", import.meta.url)), ...args])
    : await ServerProcess.start("thinkws", serverProgram(), args);
  try {
    if (await runTests(byName(checks, oracle ? failing : {}), server.base) > 0) process.exitCode = 1;
  } finally {
    await server.stop();
    clearTimeout(timer);
  }
}

function serverProgram() {
  if (!flags.server) throw new Error("--server PROGRAM or --oracle, please");
  return flags.server;
}

function byName(checks, failing) {
  const tests = {};
  for (const [what, official, check] of checks) {
    const name = `${what} (${official})`;
    if (name in tests) throw new Error(`two checks are called ${name}`);
    tests[name] = failing[official] ? mustFail(check, failing[official]) : patiently(check);
    tests[name].timeout = checkTimeout;
  }
  return tests;
}

function mustFail(check, reason) {
  return async (base) => {
    try {
      await check(base);
    } catch {
      return;
    }
    throw new Error(`the server of Node.js passes, though: ${reason}`);
  };
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
