// Runs Lighthouse, as it comes, on pages and prints a JSON object a line for each run.
// node tools/lighthouse/measure.mjs CHROMIUM RUNS ADDRESS...
import { launch } from "chrome-launcher";
import lighthouse from "lighthouse";

const [chromePath, runs, ...addresses] = process.argv.slice(2);
const chromeFlags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"];
const categories = ["performance", "accessibility", "best-practices", "seo"];

// What kept a category from 100, and the figures behind its speed.
function summarize(report) {
  const scores = categories.map((name) => report.categories[name].score);
  const lost = {};
  for (const name of categories) {
    for (const { id, weight } of report.categories[name].auditRefs) {
      const audit = report.audits[id];
      if (weight > 0 && audit.score !== null && audit.score < 1) lost[id] = audit.displayValue || audit.title;
    }
  }
  const value = (id) => report.audits[id]?.numericValue;
  return {
    scores,
    lost,
    figures: {
      firstPaint: value("first-contentful-paint"),
      largestPaint: value("largest-contentful-paint"),
      blocking: value("total-blocking-time"),
      shift: value("cumulative-layout-shift"),
      bytes: value("total-byte-weight"),
    },
    error: report.runtimeError?.message,
    version: report.lighthouseVersion,
  };
}

// A browser for each run, so that no page finds another's files in the cache.
for (const address of addresses) {
  for (let run = 0; run < Number(runs); run += 1) {
    const browser = await launch({ chromePath, chromeFlags, logLevel: "silent" });
    try {
      const { lhr } = await lighthouse(address, { port: browser.port, output: "json", logLevel: "error" });
      console.log(JSON.stringify({ address, run, ...summarize(lhr) }));
    } finally {
      browser.kill();
    }
  }
}
