// Asks the built site's own search for words, in node, and tells as JSON which pages it finds, the first one first.
// node tests/search.mjs FOLDER QUERY...
import { readFileSync } from "node:fs";
import { join } from "node:path";
import vm from "node:vm";

const [folder, ...queries] = process.argv.slice(2);
const page = {
  _ready: () => {}, // the page's own search does not begin by itself
  _: (words) => words,
  SPHINX_HIGHLIGHT_ENABLED: false,
  document: { getElementById: () => null },
  location: { search: "" },
  URLSearchParams,
};
vm.createContext(page);
const run = (code) => vm.runInContext(code, page);
for (const file of ["_static/searchtools.js", "_static/language_data.js", "searchindex.js"]) {
  if (file === "searchindex.js") run("Search.query = () => {};");
  run(readFileSync(join(folder, file), "utf8"));
}

const found = queries.map((query) => {
  page.location.search = `?q=${encodeURIComponent(query)}`;
  page.query = query;
  // The list comes with the best at its end: the page takes them from there.
  return run("Search._performSearch(...Search._parseQuery(query))").reverse();
});
console.log(JSON.stringify(found.map((results) => results.map(([name, title, anchor, , score]) => ({ name, title, anchor, score })))));
