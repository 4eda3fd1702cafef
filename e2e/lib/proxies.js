// nginx and HAProxy as people set them up: with their defaults, and with one or two lines more.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Process, listens } from "./fronts.js";

const nginx = (lines) => (port, upstream) => `
pid nginx.pid;
error_log stderr warn;
daemon off;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    map $http_upgrade $connection_upgrade { default upgrade; "" close; }
    server {
        listen 127.0.0.1:${port};
        location / {
            proxy_pass ${upstream};
            ${lines.join("\n            ")}
        }
    }
}
`;

const upgrade = [
  "proxy_http_version 1.1;",
  "proxy_set_header Upgrade $http_upgrade;",
  "proxy_set_header Connection $connection_upgrade;",
];

const haproxy = (port, upstream) => `
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen service
    bind 127.0.0.1:${port}
    server one ${upstream.replace("http://", "")}
`;

/** The configurations, by what they do. */
export const configurations = {
  "nginx with its defaults": { program: "nginx", text: nginx([]) },
  "nginx with upgrades": { program: "nginx", text: nginx(upgrade) },
  "nginx with upgrades and $host": { program: "nginx", text: nginx([...upgrade, "proxy_set_header Host $host;"]) },
  "HAProxy with its defaults": { program: "haproxy", text: haproxy },
};

/** Lines that make a configuration of nginx tell the server what the browser has sent. */
export const forwarding = [
  "proxy_set_header X-Forwarded-For $remote_addr;",
  "proxy_set_header X-Forwarded-Host $http_host;",
  "proxy_set_header X-Forwarded-Proto $scheme;",
];

/** The same configuration with more lines. */
export function more({ program, text }, lines) {
  return { program, text: (port, upstream) => text(port, upstream).replace(/(proxy_pass .*)/, `$1\n            ${lines.join("\n            ")}`) };
}

/** A proxy on a port of its own, in front of one server. */
export class Proxy {
  static async start({ program, text }, port, upstream) {
    const dir = await mkdtemp(path.join(tmpdir(), "proxy-"));
    const config = path.join(dir, "config");
    await writeFile(config, text(port, upstream));
    const args = program === "nginx" ? ["-p", dir, "-c", config] : ["-f", config, "-db"];
    const proxy = new Proxy(dir, new Process(program, args));
    try {
      await listens(port, program);
    } catch (error) {
      await proxy.stop();
      throw new Error(`${error.message}: ${proxy.process.errors}`);
    }
    return proxy;
  }

  constructor(dir, process) {
    this.dir = dir;
    this.process = process;
  }

  async stop() {
    await this.process.stop("SIGTERM");
    await rm(this.dir, { recursive: true, force: true });
  }
}
