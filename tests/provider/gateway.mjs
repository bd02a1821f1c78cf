// A gateway for a test, which verifies the front door's tokens with npm's jose: `node gateway.mjs PORT PATH CA`. It fetches
// the keys from the front door's own listener over TLS. Each line of standard input is a token, and each is answered with a
// line: `taken SUB KID` or `refused CODE`.
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { createInterface } from "node:readline";
import { createRemoteJWKSet, customFetch, jwtVerify } from "jose";

const [port, path, ca] = process.argv.slice(2);
const trusted = readFileSync(ca);

// The name is not in DNS, so the address is given; everything else is verified as ever.
function fetchKeys(url) {
  return new Promise((done, failed) => {
    const target = { host: "127.0.0.1", port, path: new URL(url).pathname, servername: "api.test", ca: trusted };
    const sent = request({ ...target, headers: { host: "api.test" } }, async (answer) => {
      let body = "";
      for await (const chunk of answer) body += chunk;
      done(new Response(body, { status: answer.statusCode, headers: { "content-type": answer.headers["content-type"] } }));
    });
    sent.on("error", failed);
    sent.end();
  });
}

const keys = createRemoteJWKSet(new URL(`https://api.test${path}`), { [customFetch]: fetchKeys, cacheMaxAge: 1000, cooldownDuration: 1000 });
for await (const token of createInterface({ input: process.stdin })) {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer: "https://door.test", audience: "orders", algorithms: ["ES256"], typ: "JWT" });
    process.stdout.write(`taken ${payload.sub} ${protectedHeader.kid}\n`);
  } catch (error) {
    process.stdout.write(`refused ${error.code ?? error}\n`);
  }
}
