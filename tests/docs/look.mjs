// Look at pages in a real browser: `node look.mjs BROWSER [FOLDER] < PAGES`, where PAGES is a JSON
// list of URLs. Prints a JSON list with what was found on each page, on a laptop and on a phone, and
// on the first page also in the dark. With FOLDER, takes screenshots of all pages, light and dark.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { chromium } from "playwright-core";

const WIDTHS = [1280, 390];
const HEIGHT = 900;
const [browserPath, folder] = process.argv.slice(2);

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

// What the copy buttons would put on the clipboard. The event is the browser's own, which it sends
// for a few seconds after a real click.
async function copied(page) {
  const buttons = page.locator(".md-code__button[data-clipboard-target]");
  if ((await buttons.count()) === 0) return [];
  await buttons.first().click({ force: true });
  return buttons.evaluateAll((all) =>
    all.map((button) => {
      window.copied = "";
      button.click();
      return window.copied;
    }),
  );
}

const urls = JSON.parse(readFileSync(0, "utf-8"));
const looks = [];
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
for (const scheme of ["light", "dark"]) {
  const viewport = { width: WIDTHS[0], height: HEIGHT };
  const context = await browser.newContext({ viewport, colorScheme: scheme });
  await context.addInitScript(() => {
    document.addEventListener("copy", (event) => (window.copied = event.target.value));
  });
  const page = await context.newPage();
  // What is where does not depend on the colors.
  for (const url of scheme === "light" || folder ? urls : urls.slice(0, 1)) {
    await page.setViewportSize(viewport);
    await page.goto(url);
    await page.waitForFunction(() => {
      const count = (selector) => document.querySelectorAll(selector).length;
      return count(".md-code__button") === count(".md-content pre > code");
    });
    const texts = scheme === "light" ? await copied(page) : [];
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: HEIGHT });
      looks.push({ url, scheme, copied: texts, ...(await page.evaluate(found)) });
      if (folder) {
        const name = `${basename(url, ".html")}-${width}-${scheme}.png`;
        await page.screenshot({ path: `${folder}/${name}`, fullPage: true });
      }
    }
  }
}
await browser.close();
console.log(JSON.stringify(looks));
