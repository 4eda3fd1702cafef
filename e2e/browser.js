// The chat example and a page of another origin in a real browser.
//
//   node browser.js --chat PROGRAM [--out FOLDER]
//
// PROGRAM is examples/chat, built. Screenshots go to FOLDER (default build/).
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Chat, browser, freePort, serve } from "./lib/browser.js";
import { runTests } from "./lib/tests.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const modules = here("node_modules");
const titles = ["Socket.IO 4", "Socket.IO 2", "SockJS", "WebSocket"];
const names = { "Socket.IO 4": "Ada", "Socket.IO 2": "Grace", SockJS: "Barbara", WebSocket: "Edsger" };

const { values: flags } = parseArgs({
  options: { chat: { type: "string" }, out: { type: "string", default: here("../build") } },
});
if (!flags.chat) throw new Error("--chat PROGRAM, please");
mkdirSync(flags.out, { recursive: true });
const shot = (name) => ({ path: join(flags.out, `${name}.png`) });

/** A picture to send: something drawn, as a PNG. */
async function drawing(context) {
  const page = await context.newPage();
  await page.setViewportSize({ width: 480, height: 300 });
  await page.setContent(`<style>body{margin:0}svg{display:block}</style>
    <svg width="480" height="300" viewBox="0 0 480 300">
      <defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="#2b2f77"/><stop offset=".6" stop-color="#c65b7c"/><stop offset="1" stop-color="#ffc27a"/></linearGradient></defs>
      <rect width="480" height="300" fill="url(#s)"/><circle cx="330" cy="190" r="46" fill="#fff3d6"/>
      <path d="M0 230 120 130 210 215 300 150 480 250V300H0z" fill="#3b2a5c"/><path d="M0 270 160 205 330 268 480 225V300H0z" fill="#241a3d"/>
    </svg>`);
  const png = await page.screenshot();
  await page.close();
  return { name: "evening.png", mimeType: "image/png", buffer: png };
}

const panel = (page, title) => page.getByRole("region", { name: title, exact: true });

/** Opens the chat and lets all of them in, one after another. */
async function enter(page, chat) {
  await page.goto(chat.url);
  for (const title of titles) {
    await panel(page, title).getByRole("status").getByText("websocket", { exact: true }).waitFor();
  }
  await page.screenshot(shot("chat-before-joining"));
  await panel(page, titles[0]).getByRole("textbox", { name: "Your name" }).fill("   ");
  await panel(page, titles[0]).getByRole("button", { name: "Join" }).click();
  await panel(page, titles[0]).getByRole("alert").getByText("a name has 1 to 30 characters").waitFor();
  for (const title of titles) {
    const one = panel(page, title);
    await one.getByRole("textbox", { name: "Your name" }).fill(names[title]);
    await one.getByRole("button", { name: "Join" }).click();
    await one.getByRole("list", { name: "Messages" }).waitFor();
    assert.ok(await one.getByRole("alert").isHidden());
  }
}

async function say(page, title, text) {
  const one = panel(page, title);
  await one.getByRole("textbox", { name: "Message" }).fill(text);
  await one.getByRole("button", { name: "Send", exact: true }).click();
}

/** The panel's own message has its tick, and all others show it with its sender. */
async function everywhere(page, title, locate) {
  for (const other of titles) {
    const message = panel(page, other).getByRole("listitem").filter(locate(page));
    await message.waitFor();
    if (other === title) await message.getByRole("img", { name: "delivered", exact: true }).waitFor();
    else await message.locator(".from", { hasText: names[title] }).waitFor();
  }
}

const withText = (text) => (page) => ({ has: page.getByText(text, { exact: true }) });
const withPicture = (name) => (page) => ({ has: page.getByRole("img", { name, exact: true }) });

/** Sends a picture as binary; the other panels show it as an image of the same size. */
async function sendPicture(page, title, picture) {
  const file = { ...picture, name: `evening of ${names[title]}.png` };
  await panel(page, title).getByLabel("Send a picture").setInputFiles(file);
  await everywhere(page, title, withPicture(file.name));
  await page.waitForFunction(() => {
    const images = [...document.querySelectorAll(".messages img")];
    return images.every((image) => image.complete && image.naturalWidth === 480 && image.naturalHeight === 300);
  });
}

const tests = {
  async "four kinds of client in one room"({ context, picture }) {
    const chat = await Chat.start(flags.chat, ["-addr", "127.0.0.1:0", "-clients", modules]);
    const page = await context.newPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (line) => { if (line.type() === "error") complaints.push(line.text()); });
    try {
      await page.setViewportSize({ width: 1400, height: 900 });
      await enter(page, chat);
      for (const title of titles) {
        const people = panel(page, title).getByRole("list", { name: "Who is here" }).getByRole("listitem");
        await people.nth(3).waitFor();
        assert.deepEqual(await people.allTextContents(), ["Ada", "Barbara", "Edsger", "Grace"]);
      }
      for (const [title, text] of [
        ["Socket.IO 4", "Hello from the 4.x client 😀"],
        ["Socket.IO 2", "And from an old 2.x client, in the same room."],
        ["SockJS", "SockJS, which would come over anything."],
        ["WebSocket", "A bare WebSocket here: no library at all."],
      ]) {
        await say(page, title, text);
        await everywhere(page, title, withText(text));
      }
      await sendPicture(page, "Socket.IO 4", picture);
      await say(page, "Socket.IO 2", "<b>not bold</b>, but 𝒷𝑒𝒶𝓊𝓉𝒾𝒻𝓊𝓁 😀");
      await everywhere(page, "Socket.IO 2", withText("<b>not bold</b>, but 𝒷𝑒𝒶𝓊𝓉𝒾𝒻𝓊𝓁 😀"));
      await portraits(page);
      await sendPicture(page, "Socket.IO 2", picture);
      await sendPicture(page, "SockJS", picture);
      await sendPicture(page, "WebSocket", picture);
      await leaving(context, page, chat);
      assert.deepEqual(complaints, []);
    } finally {
      await page.close();
      await chat.stop();
    }
  },

  async "without npm only the native client, and a hint"({ context }) {
    const chat = await Chat.start(flags.chat, ["-addr", "127.0.0.1:0", "-clients", join(flags.out, "nothing here")]);
    const page = await context.newPage();
    try {
      await page.setViewportSize({ width: 1400, height: 900 });
      await page.goto(chat.url);
      for (const title of ["Socket.IO 4", "Socket.IO 2", "SockJS"]) {
        await panel(page, title).getByText("make demo").waitFor();
      }
      const native = panel(page, "WebSocket");
      await native.getByRole("status").getByText("websocket", { exact: true }).waitFor();
      await native.getByRole("button", { name: "Join" }).click();
      await say(page, "WebSocket", "alone");
      await native.getByRole("img", { name: "delivered" }).waitFor();
      await page.screenshot(shot("chat-without-npm"));
    } finally {
      await page.close();
      await chat.stop();
    }
  },

  async "a page on another origin is refused"({ context }) {
    await fromElsewhere(context, "refused", (own) => own);
  },

  // The same page and the same clients, so what refused them above was the list.
  async "a page on another origin that is listed connects"({ context }) {
    await fromElsewhere(context, "connected", (own, foreign) => `${own},${foreign}`);
  },
};

/** Tries all clients from a page on another port, with origins listed as list says. */
async function fromElsewhere(context, outcome, list) {
  const foreign = await serve({
    "/": here("foreign.html"),
    "/v4/socket.io.js": join(modules, "socket.io-client/dist/socket.io.js"),
    "/v2/socket.io.js": join(modules, "socket.io-client-v2/dist/socket.io.js"),
  });
  const port = await freePort();
  const own = `http://127.0.0.1:${port}`;
  const chat = await Chat.start(flags.chat, ["-addr", `127.0.0.1:${port}`, "-clients", modules, "-origin", list(own, foreign.origin)]);
  const page = await context.newPage();
  try {
    await page.setViewportSize({ width: 1000, height: 640 });
    await page.goto(`${foreign.origin}/?target=${own}`);
    const outcomes = await page.evaluate(() => window.outcomes);
    await page.screenshot(shot(`foreign-origin-${outcome}`));
    assert.equal(outcomes.length, 6);
    for (const o of outcomes) assert.equal(o.outcome, outcome, JSON.stringify(o));
    if (outcome === "refused") {
      for (const path of ["/socket.io/", "/ws"]) {
        const line = await chat.logged(new RegExp(`refused.*${foreign.origin.replaceAll(".", "\\.")}.*url=${path}$`));
        console.log(`        the server's log: ${line}`);
      }
    }
    await enter(page, chat); // its own page is welcome, whatever the client
  } finally {
    await page.close();
    foreign.stop();
    await chat.stop();
  }
}

/** Screenshots of the page in its sizes and schemes; nothing may stick out sideways. */
async function portraits(page) {
  for (const [width, height] of [[1400, 900], [1000, 900], [420, 900]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => { for (const list of document.querySelectorAll(".messages")) list.scrollTop = list.scrollHeight; });
      await page.waitForTimeout(250); // the last animation
      await page.screenshot({ ...shot(`chat-${width}-${colorScheme}`), fullPage: width < 1000 });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0, `the page is wider than ${width} pixels`);
    }
  }
}

/** Somebody comes in on a page of their own and leaves again: everybody is told. */
async function leaving(context, page, chat) {
  const guest = await context.newPage();
  await guest.goto(chat.url);
  const one = panel(guest, "Socket.IO 2");
  await one.getByRole("textbox", { name: "Your name" }).fill("Guest");
  await one.getByRole("button", { name: "Join" }).click();
  for (const title of titles) await panel(page, title).getByText("Guest joined").waitFor();
  await guest.close();
  for (const title of titles) {
    await panel(page, title).getByText("Guest left").waitFor();
    const people = panel(page, title).getByRole("list", { name: "Who is here" });
    assert.deepEqual(await people.getByRole("listitem").allTextContents(), ["Ada", "Barbara", "Edsger", "Grace"]);
  }
}

const { context, close } = await browser();
try {
  const picture = await drawing(context);
  const failed = await runTests(tests, { context, picture }, async () => {
    for (const [i, page] of context.pages().entries()) await page.screenshot(shot(`failed-${i}`)).catch(() => {});
  });
  console.log(`screenshots are in ${flags.out}`);
  process.exitCode = failed ? 1 : 0;
} finally {
  await close();
}
process.exit(); // whatever a test that took too long left running
