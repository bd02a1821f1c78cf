// An OpenID provider for a test: `node provider.mjs PORT CHAIN KEY`. Each line of standard input is a command, and each is
// answered with a line once it is done: `start`, `stop`, `rotate`, which replaces its key at once, and `clock SECONDS`, which sets
// its clock apart from the machine's.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";
import { Provider } from "oidc-provider";

const [port, chain, key] = process.argv.slice(2);
const issuer = `https://localhost:${port}`;
const resource = {
  scope: "orders.read",
  audience: "orders",
  accessTokenTTL: 300,
  accessTokenFormat: "jwt",
  jwt: { sign: { alg: "ES256" } },
};
let made = 0;

let apart = 0;
const Real = Date;
globalThis.Date = class extends Real {
  constructor(...given) {
    super(...(given.length > 0 ? given : [Real.now() + apart]));
  }
  static now() {
    return Real.now() + apart;
  }
};

function provider() {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  made += 1;
  const jwk = { ...pair.privateKey.export({ format: "jwk" }), kid: `key-${made}`, use: "sig", alg: "ES256" };
  return new Provider(issuer, {
    jwks: { keys: [jwk] },
    cookies: { keys: ["only for a test"] },
    clients: [
      {
        client_id: "shop",
        client_secret: "a secret that only this test knows",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: "ES256",
        token_endpoint_auth_method: "client_secret_post",
      },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://orders.test",
        getResourceServerInfo: () => resource,
      },
    },
  }).callback();
}

let current = provider();
let server;
const commands = {
  start: () =>
    new Promise((done) => {
      const tls = { cert: readFileSync(chain), key: readFileSync(key) };
      server = createServer(tls, (request, response) => {
        // Node's own field has the machine's time.
        response.setHeader("Date", new Date().toUTCString());
        current(request, response);
      });
      server.listen(Number(port), "127.0.0.1", done);
    }),
  stop: () =>
    new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    }),
  rotate: async () => {
    current = provider();
  },
  clock: async (seconds) => {
    apart = Number(seconds) * 1000;
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const [command, given] = line.split(" ");
  await commands[command](given);
  process.stdout.write(`done ${line}\n`);
}
process.exit(0);
