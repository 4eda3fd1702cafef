// Plays every scenario with every client over every transport on each server, and says
// how the outcomes compare.
import { readFileSync } from "node:fs";
import { check, printTable } from "./compare.js";

const scenarioTimeout = 120_000; // ms

/** Runs one scenario against one server. A scenario that fails has its error as outcome. */
async function play(server, { scenario, client, transport }, Run) {
  const instance = await server.instance(scenario.server);
  const run = new Run(instance, client, transport);
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error("the scenario took too long")), scenarioTimeout);
  });
  try {
    await Promise.race([scenario.run(run), late]);
    return run.outcome();
  } catch (error) {
    return { failed: error.message, ...run.outcome() };
  } finally {
    clearTimeout(timer);
    run.close();
    await instance.remove();
  }
}

/** All combinations, a few at a time; Run is what a scenario gets. */
async function playAll(servers, { scenarios, clients, transports, jobs }, Run) {
  const cases = [];
  for (const scenario of scenarios) {
    for (const client of clients) {
      for (const transport of transports) {
        if (scenario.transports && !scenario.transports.includes(transport)) continue;
        cases.push({ scenario, client, transport, outcomes: [] });
      }
    }
  }
  const waiting = cases.values();
  await Promise.all(Array.from({ length: Number(jobs) }, async () => {
    for (const c of waiting) {
      for (const server of servers) c.outcomes.push(await play(server, c, Run));
    }
  }));
  return cases;
}

/**
 * Plays all, prints the table and sets the exit code. differences is a file of those that
 * are allowed; narrowed says that this is not the whole set.
 */
export async function compare(servers, what, Run, { differences, narrowed, show }) {
  const start = Date.now();
  const cases = await playAll(servers, what, Run);
  if (show) for (const c of cases) console.dir({ scenario: c.scenario.name, ...c }, { depth: 9 });
  const allowed = JSON.parse(readFileSync(differences, "utf8"));
  const { passed, failed } = check(cases, allowed, { complete: !narrowed && servers.length === 2 });
  printTable(cases);
  console.log(`${((Date.now() - start) / 1000).toFixed(1)} s`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed || !passed ? 1 : 0;
  const errors = servers.at(-1).errors;
  if (failed && errors) console.log(`The last words of the ${servers.at(-1).name} server:\n${errors.slice(-3000)}`);
}
