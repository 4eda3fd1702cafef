// The control channel of an oracle: the same HTTP API as that of server/main.go. What an
// instance can do are the methods of its class.
import { createServer } from "node:http";

const logTimeout = 20_000; // ms that GET log waits for lines

/** Serves the control channel. create(options) makes an instance, which has url, lines and remove(). */
export function serveControl(create) {
  const instances = new Map();
  let lastID = 0;

  async function route(req, url, body) {
    const [, , id, action] = url.pathname.split("/");
    if (!id) {
      const instance = await create(body);
      instances.set(String(++lastID), instance);
      return { id: String(lastID), url: instance.url };
    }
    const instance = instances.get(id);
    if (!instance) throw new Error(`no instance ${id}`);
    if (req.method === "DELETE") {
      instances.delete(id);
      return instance.remove();
    }
    if (action === "log") return lines(instance, Number(url.searchParams.get("count")));
    return instance[action](body);
  }

  const control = createServer(async (req, res) => {
    try {
      const result = await route(req, new URL(req.url, "http://control"), await readBody(req));
      res.end(result === undefined ? "" : JSON.stringify(result));
    } catch (error) {
      res.writeHead(500).end(String(error.stack));
    }
  });
  control.keepAliveTimeout = 0; // a connection closed just when it is used again would look like a failure
  control.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ control: `http://127.0.0.1:${control.address().port}` }));
  });
  process.stdin.resume().on("end", () => process.exit(0));
}

async function lines(instance, count) {
  const end = Date.now() + logTimeout;
  while (instance.lines.length < count && Date.now() < end) await new Promise((r) => setTimeout(r, 5));
  return instance.lines;
}

async function readBody(req) {
  const pieces = [];
  for await (const piece of req) pieces.push(piece);
  return pieces.length ? JSON.parse(Buffer.concat(pieces)) : undefined;
}
