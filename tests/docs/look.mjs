// Look at pages in a real browser: `node look.mjs BROWSER WIDTH SCHEME [FOLDER] < PAGES`, where
// PAGES is a JSON list of URLs. Prints a JSON list with what was found on each page. With
// FOLDER, also takes a screenshot of each page.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { chromium } from "playwright-core";

const [browserPath, width, scheme, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
const context = await browser.newContext({
  viewport: { width: Number(width), height: 900 },
  colorScheme: scheme,
});
// What the copy button would put on the clipboard. The event is the browser's own.
await context.addInitScript(() => {
  document.addEventListener("copy", (event) => (window.copied = event.target.value));
});

function found() {
  const page = document.scrollingElement;
  const text = (element) => element.textContent.trim();
  const cutOff = (selector) =>
    [...document.querySelectorAll(selector)]
      .filter((element) => element.scrollWidth > element.clientWidth + 1)
      .map((element) => text(element).split("\n")[0]);
  return {
    width: window.innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    wider: page.scrollWidth - window.innerWidth,
    cut: cutOff(".md-content pre > code"),
    decisions: [...document.querySelectorAll(".md-sidebar--primary a")].filter(
      (link) =>
        link.href.includes("/adr/") &&
        link.checkVisibility({ opacityProperty: true, visibilityProperty: true }),
    ).length,
    scrolled: cutOff(".md-typeset__scrollwrap"), // tables
    broken: [...document.querySelectorAll(".md-content td code")]
      .filter((code) => /^\S+$/.test(text(code)) && code.getClientRects().length > 1)
      .map(text),
  };
}

const pages = [];
const page = await context.newPage();
for (const url of JSON.parse(readFileSync(0, "utf-8"))) {
  await page.goto(url);
  await page.waitForFunction(() => {
    const count = (selector) => document.querySelectorAll(selector).length;
    return count(".md-code__button") === count(".md-content pre > code");
  });
  const copied = [];
  for (const button of await page.locator(".md-code__button[data-clipboard-target]").all()) {
    await button.click({ force: true });
    copied.push(await page.evaluate(() => window.copied));
  }
  pages.push({ url, copied, ...(await page.evaluate(found)) });
  if (folder) {
    const name = `${basename(url, ".html")}-${width}-${scheme}.png`;
    await page.screenshot({ path: `${folder}/${name}`, fullPage: true });
  }
}
await browser.close();
console.log(JSON.stringify(pages));
