// One server behind nginx and HAProxy with their defaults: clients of npm, and a page of the
// service in Chromium that has a session cookie. Where the page has to be refused, the server's
// log names the setting, the test changes it, and the page gets in.
//
//   node proxy.js --server PROGRAM
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { io as io4 } from "socket.io-client";
import io2 from "socket.io-client-v2";
import { browser } from "./lib/browser.js";
import { ServerProcess } from "./lib/control.js";
import { freePort } from "./lib/fronts.js";
import { Proxy, configurations, forwarding, more } from "./lib/proxies.js";
import { runTests } from "./lib/tests.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const libraries = { 4: io4, 2: io2 };
const scripts = { 4: "node_modules/socket.io-client/dist/socket.io.js", 2: "node_modules/socket.io-client-v2/dist/socket.io.js" };
const events = 1_000;

const { values: flags } = parseArgs({ options: { server: { type: "string" } } });
if (!flags.server) throw new Error("--server PROGRAM, please");

/** Connects, lets the client try its upgrade, and has events echoed before and after. It runs here and in the page. */
async function exchange(io, url, count) {
  const socket = io(url, { forceNew: true, reconnection: false });
  try {
    let failures = 0;
    const settled = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("waited in vain for a connection and its upgrade")), 20_000);
      const done = () => { clearTimeout(late); resolve(); };
      socket.io.on("open", () => {
        socket.io.engine.on("upgrade", done);
        socket.io.engine.on("upgradeError", () => { failures++; done(); });
      });
      for (const refusal of ["connect_error", "error"]) socket.on(refusal, (error) => reject(new Error(`refused: ${error.message ?? error}`)));
      socket.on("disconnect", (reason) => reject(new Error(`disconnected: ${reason}`)));
    });
    const echo = async (from, to) => {
      for (let next = from; next < to; next += 50) {
        const batch = Array.from({ length: 50 }, (_, i) => new Promise((resolve, reject) => {
          const late = setTimeout(() => reject(new Error(`no answer to ${next + i}`)), 20_000);
          socket.emit("echoAck", next + i, "ü😀", (...answer) => {
            clearTimeout(late);
            if (answer[0] === next + i && answer[1] === "ü😀") resolve();
            else reject(new Error(`${next + i} was answered ${JSON.stringify(answer)}`));
          });
        }));
        await Promise.all(batch);
      }
    };
    await Promise.race([settled, new Promise((resolve) => { socket.on("connect", resolve); })]);
    await Promise.all([echo(0, count / 2), settled]);
    await echo(count / 2, count);
    return { transport: socket.io.engine.transport.name, failures };
  } finally {
    socket.close();
  }
}

/** A server behind a proxy; settings change both. */
class Site {
  static async start(configuration, settings = {}) {
    const site = new Site();
    site.port = await freePort();
    await site.begin(configuration, settings);
    return site;
  }

  async begin(configuration, { server = {}, lines = [] }) {
    this.server = await ServerProcess.start("thinkws", flags.server, []);
    try {
      const { url } = await this.server.instance({ Page: here("proxy.html"), ...server });
      this.proxy = await Proxy.start(lines.length ? more(configuration, lines) : configuration, this.port, url);
    } catch (error) {
      await this.server.stop();
      throw error;
    }
  }

  /** Warnings and errors in the server's log. */
  get warnings() { return this.server.errors.split("\n").filter((line) => /\b(WARN|ERROR)\b/.test(line)); }

  async stop() {
    await this.proxy.stop();
    await this.server.stop();
  }
}

/** A page of the service, open in Chromium, that has a session cookie. */
async function visit(context, site, host, version) {
  const origin = `http://${host}:${site.port}`;
  await context.clearCookies();
  await context.addCookies([{ name: "session", value: "1", url: origin, httpOnly: true, sameSite: "Lax" }]);
  const page = await context.newPage();
  await page.goto(`${origin}/page`);
  await page.addScriptTag({ path: here(scripts[version]) });
  return page;
}

async function exchangeInPage(context, site, host, version) {
  const page = await visit(context, site, host, version);
  try {
    return await page.evaluate(`(${exchange})(io, location.origin, ${events})`);
  } finally {
    await page.close();
  }
}

async function within(configuration, test) {
  const site = await Site.start(configurations[configuration]);
  try {
    return await test(site);
  } finally {
    await site.stop();
  }
}

const outcomes = {
  polling: { transport: "polling", failures: 1 },
  websocket: { transport: "websocket", failures: 0 },
};

/** Clients of npm name no origin: they get in everywhere. */
const npm = (configuration, outcome) => () => within(configuration, async (site) => {
  for (const version of [4, 2]) {
    assert.deepEqual(await exchange(libraries[version], `http://127.0.0.1:${site.port}`, events), outcomes[outcome], `socket.io-client ${version}`);
  }
  assert.ok(site.warnings.length <= 1, site.warnings.join("\n")); // the limits per address, once
});

/** The page gets in with no setting. */
const page = (configuration, host, outcome) => ({ context }) => within(configuration, async (site) => {
  for (const version of [4, 2]) {
    assert.deepEqual(await exchangeInPage(context, site, host, version), outcomes[outcome], `socket.io-client ${version}`);
  }
  assert.ok(site.warnings.length <= 1, site.warnings.join("\n"));
});

/** The page is refused, the log names two settings, and with either of them it gets in. */
const refused = (configuration, outcome) => async ({ context }) => {
  const host = "app.test"; // not this host's own name, so that Chromium sends no Sec-Fetch-Site
  await within(configuration, async (site) => {
    for (const version of [4, 2]) {
      await assert.rejects(exchangeInPage(context, site, host, version), /refused/);
    }
    const line = site.warnings.find((text) => text.includes("origin refused"));
    assert.match(line ?? "", /list \\"http:\/\/app\.test:\d+\\" with WithAllowOrigin/);
    assert.match(line, /set="WithAllowOrigin; if the page is the service's own, X-Forwarded-Host and X-Forwarded-Proto in the proxy and WithTrustedProxies"/);
  });
  const site = new Site();
  site.port = await freePort();
  for (const settings of [
    { server: { Origins: [`http://${host}:${site.port}`] } },
    { server: { Proxies: ["127.0.0.1/32"] }, lines: forwarding },
  ]) {
    await site.begin(configurations[configuration], settings);
    try {
      for (const version of [4, 2]) {
        assert.deepEqual(await exchangeInPage(context, site, host, version), outcomes[outcome], `socket.io-client ${version}, ${JSON.stringify(settings)}`);
      }
      assert.ok(site.warnings.length <= 1, site.warnings.join("\n"));
    } finally {
      await site.stop();
    }
  }
};

const [defaults, upgrades, host, haproxy] = Object.keys(configurations);
const tests = {
  [`${defaults}: npm`]: npm(defaults, "polling"),
  [`${defaults}: a page`]: refused(defaults, "polling"),
  [`${defaults}: a page on localhost, which sends Sec-Fetch-Site`]: page(defaults, "127.0.0.1", "polling"),
  [`${upgrades}: npm`]: npm(upgrades, "websocket"),
  [`${upgrades}: a page`]: refused(upgrades, "websocket"),
  [`${upgrades}: a page on localhost, whose session vouches for its upgrade`]: page(upgrades, "127.0.0.1", "websocket"),
  [`${host}: npm`]: npm(host, "websocket"),
  [`${host}: a page`]: page(host, "app.test", "websocket"),
  [`${haproxy}: npm`]: npm(haproxy, "websocket"),
  [`${haproxy}: a page`]: page(haproxy, "app.test", "websocket"),
};

const { context, close } = await browser();
try {
  process.exitCode = (await runTests(tests, { context })) ? 1 : 0;
} finally {
  await close();
}
process.exit();
