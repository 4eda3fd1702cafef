// A WebSocket that keeps what happens to it until somebody asks.
import WebSocket from "ws";

const patience = 5_000; // ms that a read waits

export class Socket {
  constructor(url) {
    this.ws = new WebSocket(url.replace(/^http/, "ws"));
    this.kept = { open: [], message: [], close: [] };
    this.asked = { open: [], message: [], close: [] };
    this.ws.on("error", () => {}); // "close" follows
    this.ws.on("open", () => this.happened("open"));
    this.ws.on("message", (data, isBinary) => this.happened("message", isBinary ? data : String(data)));
    this.ws.on("close", (code, reason) => this.happened("close", { code, reason: String(reason) }));
  }

  happened(event, value) {
    const resolve = this.asked[event].shift();
    if (resolve) resolve(value);
    else this.kept[event].push(value);
  }

  #next(event) {
    if (this.kept[event].length > 0) return Promise.resolve(this.kept[event].shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain for "${event}" of a WebSocket`)), patience);
      this.asked[event].push((value) => {
        clearTimeout(timer);
        resolve(value);
      });
    });
  }

  opened() { return this.#next("open"); }

  /** The next message: a text, or a Buffer. */
  message() { return this.#next("message"); }

  /** The code and the reason of the close frame; 1006 if there was none. */
  closed() { return this.#next("close"); }

  send(data) { this.ws.send(data); }

  close() { this.ws.close(); }
}
