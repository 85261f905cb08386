// Looks at a page in real Chromium, in light and dark, on a desk and on a phone:
//
//     node tools/look.mjs URL BROWSER MODULES [FOLDER [SELECTOR]]
//
// MODULES has node_modules with playwright-core and axe-core (tools/get_browser.py). Prints a JSON
// object a line: what axe finds, pixels of overflow to the right, errors of the page, what #link
// says. FOLDER: screenshots go there. SELECTOR: is clicked on the first page, and #said is told.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

const [url, browserPath, modules, folder, selector] = process.argv.slice(2);
const require = createRequire(resolve(modules) + "/node_modules/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  let first = true;
  for (const [name, colorScheme, width, height] of [
    ["light", "light", 1280, 900], ["dark", "dark", 1280, 900],
    ["phone-light", "light", 390, 844], ["phone-dark", "dark", 390, 844],
  ]) {
    const viewport = { width, height };
    const context = await browser.newContext({ colorScheme, viewport, bypassCSP: name !== "light" });
    const page = await context.newPage();
    page.setDefaultTimeout(60000);
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (said) => said.type() === "error" && errors.push(said.text()));
    await page.goto(url);
    if (url.startsWith("http"))
      await page.waitForFunction(() => document.querySelector("#link").textContent === "live");
    let said = "";
    if (first && selector) {
      await page.click(selector);
      await page.waitForFunction(() => document.querySelector("#said").textContent.length > 2);
      said = await page.textContent("#said");
    }
    if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
    let violations = [];
    if (name !== "light") { // the first page keeps its own security policy, which lets no axe in
      await page.evaluate(axe);
      const found = await page.evaluate(async () => await window.axe.run());
      violations = found.violations.map((v) => [v.impact, v.id, String(v.nodes[0].target)]);
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    const link = await page.textContent("#link");
    console.log(JSON.stringify({ name, violations, overflow, errors, link, said }));
    await context.close();
    first = false;
  }
} finally {
  await browser.close();
}
