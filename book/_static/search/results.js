// What the page of search results does besides Sphinx's own search: it counts in plain words, aloud, and reads a formula once.

Documentation.addTranslations({
  locale: "en",
  plural_expr: "n != 1",
  messages: {
    "Search Results": "Results",
    "Search finished, found ${resultCount} page(s) matching the search query.": "Pages found: ${resultCount}",
    "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
      "Nothing found. Is every word spelled as in the book?",
  },
});

// A formula stands twice in a page, drawn and as MathML for screen readers: an excerpt takes the drawn one.
const wholeText = Search.htmlToText;
Search.htmlToText = (source, anchor) => {
  const page = new DOMParser().parseFromString(source, "text/html");
  page.querySelectorAll(".katex-mathml").forEach((formula) => formula.remove());
  return wholeText(page.documentElement.outerHTML, anchor);
};

// A screen reader says how many pages were found as soon as they are counted. (Sphinx has begun to search by now.)
Search.status?.setAttribute("role", "status");
