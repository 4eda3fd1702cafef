// Node's socket.io as it comes, behind the same control lines as the servers in Go: commands
// on stdin, an answer in JSON for each on stdout, the address first. It ends with stdin.
"use strict";
const fs = require("node:fs");
const { createServer } = require("node:http");
const https = require("node:https");
const readline = require("node:readline");
const { Server } = require("socket.io");

// The suite of the servers in Go, so that all encrypt alike.
const ciphers = "TLS_AES_128_GCM_SHA256";

const pem = process.argv.includes("-tls") && fs.readFileSync(process.argv[process.argv.indexOf("-tls") + 1]);
const http = pem ? https.createServer({ key: pem, cert: pem, ciphers, minVersion: "TLSv1.3" }) : createServer();
const io = new Server(http, { serveClient: false, perMessageDeflate: process.argv.includes("-deflate") });

io.on("connection", (socket) => {
  const room = socket.handshake.query.room || "everyone";
  socket.join(room);
  socket.on("e", (data) => socket.emit("e", data));
  socket.on("n", (data) => socket.emit("n", data));
  socket.on("b", (data) => io.to(room).emit("b", data));
});

// What these two do is said in internal/servers/run.go.
const movers = [];

function fill(many) {
  [...io.of("/").sockets.values()].forEach((socket, k) => {
    for (let i = 0; i < 10; i++) socket.join(`shared-${i}`);
    if (socket.handshake.query.room === "r0") movers.push(socket);
    else for (let i = 0; many && i < 20; i++) socket.join(`own-${k}-${i}`);
  });
  return {};
}

function rejoin(n) {
  const names = Array.from({ length: 10 }, (_, i) => `shared-${i}`);
  const began = process.hrtime.bigint();
  for (let i = 0; i < n; i++) {
    const socket = movers[(i * 7919) % movers.length];
    socket.leave(names[i % 10]);
    socket.join(names[i % 10]);
  }
  return { took: Number(process.hrtime.bigint() - began) };
}

const commands = {
  gc: () => (global.gc(), {}),
  stats: () => ({ clients: io.of("/").sockets.size }),
  fill: (argument) => fill(argument === "many"),
  rejoin: (argument) => rejoin(Number(argument)),
};

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [name, argument] = line.split(" ");
  const command = commands[name];
  const answer = command ? command(argument) : { error: `no command is named ${name}` };
  process.stdout.write(JSON.stringify(answer) + "\n");
});
lines.on("close", () => process.exit(0));

http.listen(0, "127.0.0.1", () => {
  process.stdout.write(JSON.stringify({ address: `127.0.0.1:${http.address().port}` }) + "\n");
});
