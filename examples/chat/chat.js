// Four panels, four wires, one room. Each wire has the same small face:
//
//   on(event, fn)          events of the server, and "up", "down" and "transport"
//   ask(event, data)       emits and resolves to what the server acknowledged
//   bytes(buffer)          an ArrayBuffer as it has to stand in data
//
// so that the panel above it does not know what carries its messages.

const ackTimeout = 8_000; // ms
const maxPicture = 2 * 1024 * 1024; // bytes

/** A list of listeners by event. */
class Listeners {
  #byEvent = new Map();

  on(event, fn) {
    this.#byEvent.set(event, [...(this.#byEvent.get(event) ?? []), fn]);
  }

  fire(event, ...args) {
    for (const fn of this.#byEvent.get(event) ?? []) fn(...args);
  }
}

/** What the server answered: its value, or its error. */
function unwrap(answer) {
  if (answer?.error) throw new Error(answer.error.message);
  return answer;
}

function withTimeout(start) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the server did not answer")), ackTimeout);
    start((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

/** Socket.IO, either line: io is what socket.io-client puts into the page. */
class SocketIOWire extends Listeners {
  constructor(io) {
    super();
    this.socket = io(location.origin, { forceNew: true });
    this.socket.on("connect", () => {
      this.fire("up");
      this.#watchTransport(this.socket.io.engine);
    });
    this.socket.on("disconnect", (reason) => this.fire("down", reason));
    this.socket.on("connect_error", (error) => this.fire("down", error.message));
  }

  #watchTransport(engine) {
    const tell = () => this.fire("transport", engine.transport.name);
    engine.on("upgrade", tell);
    tell();
  }

  on(event, fn) {
    if (["up", "down", "transport"].includes(event)) super.on(event, fn);
    else this.socket.on(event, fn);
  }

  ask(event, data) {
    return withTimeout((done) => this.socket.emit(event, data, done)).then(unwrap);
  }

  /** Binary travels as it is. */
  bytes(buffer) { return buffer; }
}

/**
 * JSON events, {"event","data"} and acks by "cid" and "rid", over what connect returns: a
 * native WebSocket, or SockJS, which looks the same.
 */
class JSONWire extends Listeners {
  #asked = new Map(); // cid: what to do with the answer
  #cid = 0;
  #pause = 500; // ms before the next attempt
  #connect;

  constructor(connect) {
    super();
    this.#connect = connect;
    this.#open();
  }

  #open() {
    this.socket = this.#connect();
    this.socket.onopen = () => {
      this.#pause = 500;
      this.fire("up");
      this.fire("transport", this.socket.transport ?? "websocket"); // SockJS names its own
    };
    this.socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => {
      this.fire("down", reason || `closed, code ${code}`);
      setTimeout(() => this.#open(), this.#pause);
      this.#pause = Math.min(this.#pause * 2, 5_000);
    };
  }

  #receive({ event, data, rid, error }) {
    if (rid !== undefined) {
      this.#asked.get(rid)?.(error ? { error } : data);
      this.#asked.delete(rid);
      return;
    }
    this.fire(event, data);
  }

  ask(event, data) {
    const cid = ++this.#cid;
    return withTimeout((done) => {
      this.#asked.set(cid, done);
      this.socket.send(JSON.stringify({ event, data, cid }));
    }).then(unwrap);
  }

  /** Binary travels as a base64 string in JSON. */
  bytes(buffer) {
    const pieces = [];
    const all = new Uint8Array(buffer);
    for (let i = 0; i < all.length; i += 0x8000) pieces.push(String.fromCharCode(...all.subarray(i, i + 0x8000)));
    return btoa(pieces.join(""));
  }
}

/** Makes an address for an <img> of what came as binary: an ArrayBuffer or base64. */
function pictureURL(bytes) {
  const data = typeof bytes === "string" ? Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)) : bytes;
  return URL.createObjectURL(new Blob([data]));
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

/** One panel of the page: one client in the room. */
class Panel {
  constructor({ title, wire, name }) {
    this.via = title;
    this.root = document.getElementById("panel").content.firstElementChild.cloneNode(true);
    this.root.setAttribute("aria-label", title);
    this.$("h2").textContent = title;
    this.$(".wire").textContent = wire;
    this.$(".join input").value = name;
    this.state("waiting", "loading");
    document.getElementById("panels").append(this.root);
  }

  $(selector) { return this.root.querySelector(selector); }

  state(kind, text) {
    this.root.dataset.state = kind;
    this.$(".state-text").textContent = text;
  }

  /** Says what is missing in place of a client. */
  missing(what) {
    this.state("down", "not installed");
    this.$(".hint").hidden = false;
    this.$(".hint-title").textContent = what;
    this.$(".join").hidden = true;
  }

  /** Brings the panel to life. */
  use(wire) {
    this.wire = wire;
    this.state("waiting", "connecting");
    wire.on("up", () => this.#up());
    wire.on("down", (reason) => this.#down(reason));
    wire.on("transport", (name) => this.state("up", name));
    wire.on("joined", (who) => this.#note(who, "joined"));
    wire.on("left", (who) => this.#note(who, "left"));
    wire.on("here", (people) => this.#here(people));
    wire.on("message", (message) => this.#show(message));
    const act = (selector, event, action) => this.$(selector).addEventListener(event, (e) => {
      e.preventDefault();
      this.#attempt(action);
    });
    act(".join", "submit", () => this.#join());
    act(".say", "submit", () => this.#say());
    act(".say [type=file]", "change", () => this.#sendPicture());
  }

  /** Runs an action and shows its error, if any. */
  async #attempt(action) {
    this.$(".trouble").hidden = true;
    try {
      await action();
    } catch (error) {
      this.$(".trouble").textContent = error.message;
      this.$(".trouble").hidden = false;
    }
  }

  #up() {
    this.$(".join button").disabled = false;
    for (const control of this.$(".say").elements) control.disabled = false;
    if (this.name) this.#attempt(() => this.#join()); // back after a break
  }

  #down(reason) {
    this.state("down", reason);
    this.$(".join button").disabled = true;
    for (const control of this.$(".say").elements) control.disabled = true;
  }

  async #join() {
    const name = this.$(".join input").value;
    const here = await this.wire.ask("join", { name, via: this.via });
    this.name = name.trim();
    this.$(".join").hidden = true;
    this.$(".room").hidden = false;
    this.#here(here);
    this.$(".text input").focus({ preventScroll: true });
  }

  async #say() {
    const input = this.$(".text input");
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    await this.#send({ text }, () => this.wire.ask("say", { text }));
  }

  async #sendPicture() {
    const input = this.$(".say [type=file]");
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    if (file.size > maxPicture) throw new Error("The picture is too big: 2 MB at most.");
    const buffer = await file.arrayBuffer();
    const picture = { name: file.name, data: this.wire.bytes(buffer) };
    await this.#send({ picture }, () => this.wire.ask("picture", picture));
  }

  /** Shows a message of our own at once, and ticks it when the server has it. */
  async #send(message, ask) {
    const item = this.#show({ ...message, at: new Date(), own: true });
    const tick = item.querySelector(".tick");
    try {
      await ask();
      tick.textContent = "✓";
      tick.classList.add("delivered");
      tick.title = "delivered";
      tick.setAttribute("aria-label", "delivered");
    } catch (error) {
      item.classList.add("failed");
      tick.textContent = "!";
      tick.setAttribute("aria-label", "not delivered");
      throw error;
    }
  }

  #here(people) {
    this.$(".here").replaceChildren(...people.map((who) => {
      const item = element("li", `c${who.color}`, who.name);
      item.title = who.via;
      return item;
    }));
  }

  #note(who, what) {
    this.#append(element("li", "note", `${who.name} ${what}`));
  }

  #show(message) {
    const item = element("li", message.own ? "message own" : `message c${message.from.color}`);
    const bubble = element("div", message.picture ? "bubble picture" : "bubble", message.text ?? "");
    if (message.picture) bubble.append(this.#image(message.picture));
    const time = element("time", "", clock.format(new Date(message.at)));
    const meta = element("p", "meta");
    if (message.own) {
      const tick = element("span", "tick", "…");
      tick.setAttribute("role", "img");
      tick.setAttribute("aria-label", "sending");
      meta.append(time, tick);
      item.append(bubble, meta);
    } else {
      meta.append(element("span", "from", message.from.name), element("span", "", message.from.via), time);
      item.append(meta, bubble);
    }
    this.#append(item);
    return item;
  }

  #image({ name, data }) {
    const image = element("img", "");
    image.alt = name;
    image.src = pictureURL(data);
    image.onload = () => {
      URL.revokeObjectURL(image.src);
      this.#scroll();
    };
    return image;
  }

  #append(item) {
    this.$(".messages").append(item);
    this.#scroll();
  }

  #scroll() {
    const list = this.$(".messages");
    list.scrollTop = list.scrollHeight;
  }
}

/** Loads a client and hands out what it leaves in the page under that name. */
function load(src, name) {
  return new Promise((resolve, reject) => {
    const script = element("script", "");
    script.src = src;
    script.onload = () => {
      const left = window[name];
      delete window[name]; // make room for another version
      resolve(left);
    };
    script.onerror = () => reject(new Error(`no ${src}`));
    document.head.append(script);
  });
}

const panels = {
  v4: new Panel({ title: "Socket.IO 4", wire: "socket.io-client 4.x", name: "Ada" }),
  v2: new Panel({ title: "Socket.IO 2", wire: "socket.io-client 2.x", name: "Grace" }),
  sockjs: new Panel({ title: "SockJS", wire: "sockjs-client 1.x", name: "Barbara" }),
  native: new Panel({ title: "WebSocket", wire: "the browser’s own", name: "Edsger" }),
};

/** What SockJS may use: everything, or one transport, as ?sockjs=xhr-polling has it. */
const transports = new URLSearchParams(location.search).getAll("sockjs");

const wires = {
  socketio: (io) => new SocketIOWire(io),
  sockjs: (SockJS) => new JSONWire(() => new SockJS("/sockjs", null, transports.length ? { transports } : {})),
  native: () => new JSONWire(() => new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`)),
};

panels.native.use(wires.native());
for (const [panel, src, global, wire, name] of [
  [panels.v4, "socket.io/socket.io.js", "io", wires.socketio, "socket.io-client 4"],
  [panels.v2, "socket.io-2/socket.io.js", "io", wires.socketio, "socket.io-client 2"],
  [panels.sockjs, "sockjs-client/sockjs.js", "SockJS", wires.sockjs, "sockjs-client"],
]) {
  try {
    panel.use(wire(await load(src, global)));
  } catch {
    panel.missing(`${name} is not here yet.`);
  }
}
