// HTTP/1 as bytes on a TCP connection: a client that sends any path as it is, and that sees
// each chunk of an answer by itself.
import { connect } from "node:net";

const patience = 5_000; // ms that a read waits, unless told otherwise

/** One TCP connection to the server at base. */
export class Connection {
  constructor(base) {
    const { hostname, port } = new URL(base);
    this.host = `${hostname}:${port}`;
    this.socket = connect(Number(port), hostname);
    this.buffer = Buffer.alloc(0);
    this.ended = false; // the server has closed it
    this.wake = () => {};
    this.socket.on("data", (data) => {
      this.buffer = Buffer.concat([this.buffer, data]);
      this.wake();
    });
    for (const event of ["end", "close", "error"]) {
      this.socket.on(event, () => {
        this.ended = true;
        this.wake();
      });
    }
  }

  /** Sends a request and returns the head of the answer. */
  request(method, path, { headers = {}, body = "", version = "1.1", within = patience } = {}) {
    const all = { Host: this.host, ...headers };
    if (method !== "GET" && method !== "OPTIONS") all["Content-Length"] = Buffer.byteLength(body);
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket.write(`${method} ${path} HTTP/${version}\r\n${lines.join("")}\r\n${body}`);
    return this.head(within);
  }

  async head(within = patience) {
    const [first, ...lines] = (await this.until("\r\n\r\n", within)).split("\r\n");
    const [, version, status] = first.match(/^HTTP\/(1\.[01]) (\d{3})/);
    const headers = {};
    for (const line of lines.filter(Boolean)) {
      const [, name, value] = line.match(/^([^:]+):[ \t]*(.*?)[ \t]*$/);
      headers[name.toLowerCase()] = value;
    }
    return { status: Number(status), version, headers };
  }

  /** The rest of an answer, whatever tells its length. */
  async body({ status, headers }, within = patience) {
    if (status === 204 || status === 304) return "";
    if (headers["content-length"] !== undefined) return this.bytes(Number(headers["content-length"]), within);
    if (headers["transfer-encoding"] !== "chunked") return this.rest(within);
    const chunks = [];
    for (let chunk; (chunk = await this.chunk(within)) !== "";) chunks.push(chunk);
    return chunks.join("");
  }

  /** The next chunk of a chunked answer, "" at its end. */
  async chunk(within = patience) {
    const length = Number.parseInt(await this.until("\r\n", within), 16);
    return (await this.bytes(length + 2, within)).slice(0, -2);
  }

  async bytes(n, within = patience) {
    await this.wait(() => this.buffer.length >= n, `${n} bytes`, within);
    return this.take(n);
  }

  /** All until the server closes the connection. */
  async rest(within = patience) {
    await this.closed(within);
    return this.take(this.buffer.length);
  }

  async closed(within = patience) {
    await this.wait(() => this.ended, "the end of the connection", within);
  }

  async until(mark, within) {
    const at = () => this.buffer.indexOf(mark);
    await this.wait(() => at() >= 0, JSON.stringify(mark), within);
    return this.take(at() + mark.length);
  }

  take(n) {
    const text = this.buffer.subarray(0, n).toString();
    this.buffer = this.buffer.subarray(n);
    return text;
  }

  async wait(test, what, within) {
    const late = Symbol("late");
    const end = Date.now() + within;
    while (!test()) {
      if (this.ended) throw new Error(`the connection ended before ${what}: ${JSON.stringify(this.buffer.toString())}`);
      let timer;
      const woken = new Promise((resolve) => {
        this.wake = resolve;
        timer = setTimeout(() => resolve(late), Math.max(1, end - Date.now()));
      });
      const result = await woken;
      clearTimeout(timer);
      if (result === late && !test()) throw new Error(`waited ${within} ms in vain for ${what}`);
    }
  }

  close() { this.socket.destroy(); }
}

/** A request on a connection of its own, and its whole answer. */
export async function call(base, method, path, options = {}) {
  const connection = new Connection(base);
  try {
    const headers = { Connection: "close", ...options.headers };
    const head = await connection.request(method, path, { ...options, headers });
    return { ...head, body: await connection.body(head, options.within) };
  } finally {
    connection.close();
  }
}

/** A request whose answer is read chunk by chunk. */
export async function stream(base, method, path, options = {}) {
  const connection = new Connection(base);
  const head = await connection.request(method, path, options);
  return { ...head, read: (within) => connection.chunk(within), close: () => connection.close() };
}
