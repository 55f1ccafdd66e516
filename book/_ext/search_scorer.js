// How the search ranks what it finds. Sphinx reads this before its own searchtools.js, and asks Scorer.score for every
// result. The index lists, for each word, the pages in the order in which they are about it (search_index.py): the first
// one gains most. Chapters stand before the other pages.

var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 2,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,

  score: ([page, _title, _anchor, description, score]) => {
    if (description !== null) return score; // a name of the package
    const isChapter = page.includes("/") && !page.startsWith("reference/");
    return score + (isChapter ? 3 : 0) + Scorer.aboutness(Search._index.docnames.indexOf(page));
  },

  // Up to 12: how much a page is about the words that are searched.
  aboutness: (number) => {
    const words = Scorer.stems();
    const places = words.map((word) => [Search._index.terms[word] ?? []].flat().indexOf(number));
    const shares = places.map((place) => (place < 0 ? 0 : 1 / (1 + place)));
    return words.length ? (12 * shares.reduce((sum, share) => sum + share, 0)) / words.length : 0;
  },

  stems: () => {
    const query = new URLSearchParams(location.search).get("q") ?? "";
    const stemmer = new Stemmer();
    return splitQuery(query).map((word) => stemmer.stemWord(word.toLowerCase()));
  },
};
