// Decodes what Go asks with Node's own parsers: those of socket.io 4.x, and those of 2.x
// for revision 3. A question is a line of JSON, and so is its answer.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../package.json", import.meta.url));
const v4 = createRequire(require.resolve("socket.io")); // each with the parsers that it requires itself
const v2 = createRequire(require.resolve("socket.io-v2"));
const engine = { 4: v4("engine.io-parser"), 3: v2("engine.io-parser") };
const socketio = { 4: v4("socket.io-parser"), 3: v2("socket.io-parser") };

const types = { open: "0", close: "1", ping: "2", pong: "3", message: "4", upgrade: "5", noop: "6" };

// enginePacket is a packet as Go has it. A type that there is not is "?".
function enginePacket({ type, data }) {
  const binary = Buffer.isBuffer(data);
  return { type: types[type] ?? "?", binary, data: (binary ? data : Buffer.from(data ?? "")).toString("base64") };
}

// collector takes packets up to the first that is an error, as the transports do.
function collector() {
  const answer = { packets: [], failed: false };
  const take = (packet) => {
    if (answer.failed) return false;
    if (packet.type === "error") answer.failed = true;
    else answer.packets.push(enginePacket(packet));
    return !answer.failed;
  };
  return { answer, take };
}

function payload(revision, data, binary) {
  const { answer, take } = collector();
  if (revision === 4) engine[4].decodePayload(data.toString()).every(take);
  else engine[3].decodePayload(binary ? data : data.toString(), take);
  return answer;
}

function packet(revision, data, binary) {
  const { answer, take } = collector();
  take(engine[revision].decodePacket(binary ? data : data.toString()));
  return answer;
}

// The attachments that Go makes too: the bytes of their numbers.
const attachment = (i) => Buffer.from([i]);

// marked has the binary parts of a value as {"attachment": base64}.
function marked(value) {
  if (Buffer.isBuffer(value)) return { attachment: value.toString("base64") };
  if (Array.isArray(value)) return value.map(marked);
  if (value === null || typeof value !== "object") return value;
  const copy = Object.create(null); // in which __proto__ is a name like others
  for (const key of Object.keys(value)) copy[key] = marked(value[key]);
  return copy;
}

// decode is what Socket.IO makes of a text and the attachments it asks for.
function decode(revision, text) {
  const decoder = new socketio[revision].Decoder();
  let decoded;
  decoder.on("decoded", (packet) => { decoded = packet; });
  decoder.add(text);
  for (let i = 0; !decoded; i++) decoder.add(attachment(i));
  let { type, nsp, id, data } = decoded;
  if (revision === 3 && type === 4 && String(data).startsWith("parser error")) throw new Error(data);
  if (type >= 5) type -= 3;
  const answer = { type, namespace: nsp, id: id === undefined ? "" : String(id) };
  if (data === undefined) return answer;
  if (type === 2) {
    answer.name = String(data[0]); // numbers are names as they are written
    data = data.slice(1);
  }
  return { ...answer, data: JSON.stringify(marked(data)) };
}

function answer({ ask, revision, binary, data }) {
  const bytes = Buffer.from(data, "base64");
  switch (ask) {
    case "payload": return payload(revision, bytes, binary);
    case "packet": return packet(revision, bytes, binary);
    case "decode":
      try {
        return decode(revision, bytes.toString());
      } catch (err) {
        return { failed: true, why: String(err.message) };
      }
  }
  throw new Error(`nobody knows how to ${ask}`);
}

createInterface({ input: process.stdin, crlfDelay: Infinity }).on("line", (line) => {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
});
