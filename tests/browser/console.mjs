// The console in a real browser: node console.mjs SETTINGS.json
// SETTINGS: links (by role), attack and honest (shell commands that print the status of a request), falsePositive (the
// same, of a request that the rules block by mistake), upload (a command that sends an attack in every field),
// rotate (a command that replaces a certificate), token (of the role ingress), bundle (the file of the trusted CA),
// screenshots (a folder, or null).
import assert from "node:assert/strict";
import { execSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const origin = new URL(settings.links.security).origin;
const pages = ["/", "/live", "/events", "/rules", "/exposure", "/certificates", "/upstreams", "/configuration",
  "/configuration/diff"];
const send = (command) => execSync(command, { encoding: "utf8" }).trim();

const browser = await chromium.launch({
  executablePath: settings.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

// A context whose pages fail the run where they ask another host, run a foreign script, or break the policy.
async function enter(link, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(origin)) problems.push(`asked ${request.url()}`);
  });
  page.on("console", (message) => {
    // An answer of 4xx is reported here too, and the steps below expect some.
    if (message.type() === "error" && !message.text().includes("status of 4")) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("dialog", (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`);
    return dialog.dismiss();
  });
  await page.goto(link);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL(origin + "/");
  return { page, problems, close: () => context.close() };
}

async function finds(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"] }));
  const text = found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(" ")}`);
  assert.deepEqual(text, [], `axe on ${where}`);
}

const step = async (name, run) => {
  process.stdout.write(`${name}: `);
  await run();
  console.log("ok");
};

send(settings.attack);
for (let i = 0; i < 5; i++) assert.equal(send(settings.honest), "200");
assert.equal(send(settings.falsePositive), "403");
send(settings.upload);

const { page, problems, close } = await enter(settings.links.security);

await step("pages in light and dark", async () => {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const path of pages) {
      const answer = await page.goto(origin + path, { waitUntil: "load" });
      assert.equal(answer.status(), 200, path);
      assert.equal(await page.locator("nav [aria-current=page]").count(), 1, path);
      await finds(page, `${path}, ${scheme}`);
      if (settings.screenshots) {
        const name = path === "/" ? "overview" : path.slice(1).replaceAll("/", "-");
        await page.screenshot({ path: `${settings.screenshots}/${name}-${scheme}.png`, fullPage: true });
      }
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
});

await step("the keyboard reaches the content first", async () => {
  await page.goto(origin + "/events");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
});

await step("requests as they come", async () => {
  await page.goto(origin + "/live");
  await page.getByText("Connected", { exact: true }).waitFor();
  send(settings.honest);
  await page.locator("#live tbody tr").first().waitFor();
  await page.locator("#live tbody a", { hasText: "orders" }).first().click();
  assert.equal(new URL(page.url()).searchParams.get("route"), "orders");
});

await step("what clients sent is text", async () => {
  for (const path of ["/events", "/events?verdict=block"]) {
    await page.goto(origin + path);
    assert.equal(await page.locator("main script, main img, main iframe").count(), 0);
  }
  const attack = page.getByRole("row", { name: /onerror/ }).first();
  await attack.getByRole("link").first().click();
  assert.match(await page.locator("pre").first().textContent(), /<script>alert\(1\)<\/script>/);
  await finds(page, "an event");
});

await step("from a false positive to a proven exclusion", async () => {
  await page.goto(origin + "/events?verdict=block&since=1h");
  await page.getByRole("row", { name: /union\+select\+committee/ }).first().getByRole("link").first().click();
  assert.equal(await page.locator("mark").first().isVisible(), true);
  if (settings.screenshots) await page.screenshot({ path: `${settings.screenshots}/event-light.png`, fullPage: true });
  await page.getByLabel("Owner").fill("orders team");
  await page.getByLabel("Reason").fill("honest prose");
  await page.getByLabel("Until").fill("2030-01-31");
  await page.getByRole("button", { name: "Search an exclusion" }).click();
  await page.getByRole("button", { name: "Write it and reload" }).waitFor();
  await finds(page, "the proposals");
  if (settings.screenshots) await page.screenshot({ path: `${settings.screenshots}/exclusions-light.png`, fullPage: true });
  assert.equal(send(settings.falsePositive), "403");
  await page.getByRole("button", { name: "Write it and reload" }).click();
  await page.getByText("it was applied").waitFor();
  assert.equal(send(settings.falsePositive), "200");
  assert.equal(send(settings.attack), "403");
});

await step("a rotated certificate is on the list", async () => {
  await page.goto(origin + "/certificates");
  const before = await page.locator("main").textContent();
  send(settings.rotate);
  for (let tries = 0; (await page.locator("main").textContent()) === before; tries++) {
    assert.ok(tries < 200, "the new certificate never came");
    await page.waitForTimeout(100);
    await page.reload();
  }
});
assert.deepEqual(problems, []);
await close();

await step("the switch of an exposure", async () => {
  const { page, problems, close } = await enter(settings.links.ingress);
  await page.goto(origin + "/exposure");
  await page.getByRole("link", { name: "Switch off" }).click();
  assert.equal(send(settings.honest), "200");
  await finds(page, "the question before a switch");
  await page.getByLabel("Reason").fill("an incident");
  await page.getByRole("button", { name: /Switch .* off/ }).click();
  await page.getByText("an incident").first().waitFor();
  assert.equal(send(settings.honest), "503");
  await page.getByRole("link", { name: "Switch on" }).click();
  await page.getByLabel("Reason").fill("over");
  await page.getByRole("button", { name: /Switch .* on/ }).click();
  await page.getByText("over", { exact: true }).first().waitFor();
  assert.equal(send(settings.honest), "200");
  assert.deepEqual(problems, []);
  await close();
});

await step("a rehearsal of a bundle from a file", async () => {
  const { page, problems, close } = await enter(settings.links.certificates);
  await page.goto(origin + "/certificates");
  await page.getByRole("link", { name: "Rehearse" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(origin + "/certificates/rehearsal");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await finds(page, `the rehearsal, ${colorScheme}`);
  }
  await page.getByLabel("In the place of").selectOption("trust onprem");
  await page.getByLabel("Or a file").setInputFiles(settings.bundle);
  await page.waitForFunction(() => document.querySelector("textarea").value.includes("BEGIN CERTIFICATE"));
  await page.getByRole("button", { name: "Rehearse" }).press("Enter");
  await page.getByText("No gateway would break").waitFor();
  await page.emulateMedia({ colorScheme: "light" });
  if (settings.screenshots) await page.screenshot({ path: `${settings.screenshots}/rehearsal-light.png`, fullPage: true });
  await finds(page, "what a rehearsal found");
  await page.getByLabel("PEM").fill("nothing");
  await page.getByRole("button", { name: "Rehearse" }).click();
  await page.getByText("It cannot be used").waitFor();
  assert.equal(send(settings.honest), "200");
  assert.deepEqual(problems, []);
  await close();
});

await step("a token logs in, and doctor dials", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(origin + "/login");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await finds(page, `the login, ${colorScheme}`);
  }
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Log in with a token" }).click();
  await page.getByText("This token is unknown").waitFor();
  await page.getByLabel("Token").fill(settings.token);
  await page.keyboard.press("Enter");
  await page.waitForURL(origin + "/");
  await page.goto(origin + "/upstreams");
  await page.getByRole("button", { name: "Dial the servers" }).first().click();
  await page.getByText("The proxy would use it").first().waitFor();
  await finds(page, "what doctor found");
  await context.close();
});

await step("a viewer without JavaScript", async () => {
  const { page, close } = await enter(settings.links.viewer, { javaScriptEnabled: false });
  for (const path of pages) {
    assert.equal((await page.goto(origin + path)).status(), 200, path);
    assert.ok((await page.locator("main").textContent()).trim().length > 20, path);
    const buttons = await page.locator("main form[method=post]").count();
    assert.equal(buttons, 0, `${path} offers a viewer a change`);
  }
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(origin + "/login");
  await close();
});

await step("no other site changes anything", async () => {
  const { page, close } = await enter(settings.links.foreign);
  const context = page.context();
  await context.route("http://evil.test/", (route) => route.fulfill({
    contentType: "text/html",
    body: `<form method="post" action="${origin}/exposure/public/off"><input name="reason" value="x"><button>go</button></form>`,
  }));
  const other = await context.newPage();
  await other.goto("http://evil.test/");
  await other.getByRole("button").click();
  await other.waitForLoadState();
  assert.equal(send(settings.honest), "200");
  await close();
});

await browser.close();
