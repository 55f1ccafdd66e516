"""What the search knows: the prose and the code of the pages, word by word, and which pages are about a word.

Sphinx's index, with three differences. Names in code are kept as they are (`weight_ih_l0`, `h_n`), where Sphinx would
cut off what looks like an ending. What cells printed is left out, and so are numbers: both are many, and nobody looks
for them. And the pages of a word are listed in the order in which they are about it: how often it occurs, how
prominent it is, how long the page is. search_scorer.js makes use of the order.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import sphinx.search
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

SCORER = Path(__file__).with_name("search_scorer.js")
IN_A_HEADING, IN_PROSE = 8, 1  # what an occurrence counts
BESIDES = 0.4  # what it counts on a page that is no chapter
LONGEST = 40  # letters in a word; what is longer is no word

# A name is not a word of English: neither here nor in the browser is its ending cut off.
NAME = re.compile(r"[_\d]")
STEM_WORDS_ONLY = """
Stemmer = (function (English) {
  return function () {
    const english = new English();
    this.stemWord = (word) => (/[_\\d]/.test(word) ? word : english.stemWord(word));
  };
})(Stemmer);
"""


class BookEnglish(SearchEnglish):
    """English with the names of a program in it."""

    js_stemmer_code = SearchEnglish.js_stemmer_code + STEM_WORDS_ONLY

    def init(self, options: dict[str, str]) -> None:
        super().init(options)
        self.stem = cache(self.stem)  # the same words stand on every page

    def stem(self, word: str) -> str:
        return word.lower() if NAME.search(word) else super().stem(word)

    def word_filter(self, word: str) -> bool:
        return 1 < len(word) <= LONGEST and not word[0].isdigit() and super().word_filter(word)


class BookIndex(sphinx.search.IndexBuilder):
    """Sphinx's index, its words counted."""

    def load(self, stream, format) -> None:
        """What the last build wrote, for the pages that are not built again; Sphinx would forget the entries."""
        super().load(stream, format)
        stream.seek(0)
        frozen = self.formats[format].load(stream) if isinstance(format, str) else format.load(stream)
        for entry, places in frozen["indexentries"].items():
            for number, anchor, is_main in places:
                page = self._index_entries.setdefault(frozen["docnames"][number], [])
                page.append((entry, anchor, "main" if is_main else ""))

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.counts: dict[str, Counter] = {}  # by page

    def feed(self, docname: str, filename: str, title: str, doctree: nodes.document) -> None:
        """Take a page in."""
        super().feed(docname, filename, title, doctree)
        self.counts[docname] = self.count(doctree)

    def freeze(self) -> dict:
        """The index to be written: for every word the pages it is on, those first that are most about it."""
        weights = self.weigh()
        self._mapping = {word: set(pages) for word, pages in weights.items()}
        frozen = super().freeze()
        names = frozen["docnames"]
        for word, pages in frozen["terms"].items():
            if isinstance(pages, list):
                pages.sort(key=lambda number: -weights[word][names[number]])
        return frozen

    def weigh(self) -> dict[str, dict[str, float]]:
        """By word and page, how much the page is about the word."""
        weights: dict[str, dict[str, float]] = defaultdict(dict)
        for page in self._titles:
            counts = self.counts.get(page)
            if counts is None:  # a page of the last build, which did not change
                counts = self.counts[page] = self.count(self.env.get_doctree(page))
            scale = (1 if is_chapter(page) else BESIDES) / sum(counts.values(), 1) ** 0.5
            for word, count in counts.items():
                weights[word][page] = count * scale
        return weights

    def count(self, document: nodes.document) -> Counter:
        """How often a page has each word, its headings more than once."""
        counts: Counter = Counter()
        for text in searched_texts(document):
            weight = IN_A_HEADING if isinstance(text.parent, nodes.title) else IN_PROSE
            for word in self.lang.split(text.astext()):
                counts[self.lang.stem(word)] += weight
        return Counter({word: count for word, count in counts.items() if self.lang.word_filter(word)})


def is_chapter(page: str) -> bool:
    """Whether a page belongs to one of the parts before the reference."""
    return "/" in page and not page.startswith("reference/")


def searched_texts(node: nodes.Node):
    """The pieces of text that readers look for: not what cells printed, no markup, no comments."""
    for child in node.children:
        if isinstance(child, nodes.Text):
            yield child
        elif not (isinstance(child, nodes.comment | nodes.raw | nodes.math | nodes.math_block)
                  or "cell_output" in child.get("classes", ())):
            yield from searched_texts(child)


def configure(app: Sphinx, config) -> None:
    """Let Sphinx use these."""
    sphinx.search.IndexBuilder = BookIndex  # the builder imports it when it begins to write
    config.html_search_scorer = str(SCORER)


def setup(app: Sphinx) -> dict:
    app.add_search_language(BookEnglish)
    app.connect("config-inited", configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
