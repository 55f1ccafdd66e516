"""Folded solutions and notes as plain ``<details>``: they open without a script, by keyboard, and stay put.

Anything with the class ``dropdown`` (a solution, an admonition) is folded, with its title as the line to click.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


class folded(nodes.General, nodes.Element):
    """A block that the reader opens."""


class folded_title(nodes.General, nodes.TextElement):
    """The line that stays visible."""


class FoldDropdowns(SphinxPostTransform):
    """Turn admonitions and solutions of the class dropdown into folded blocks."""

    default_priority = 900  # after sphinx-exercise has written its titles
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for node in list(self.document.findall(nodes.Admonition)):
            if "dropdown" not in node.get("classes", ()) or not isinstance(node[0], nodes.title):
                continue
            block = folded(ids=node["ids"], classes=[name for name in node["classes"] if name != "dropdown"])
            block += folded_title("", "", *without_links(node[0]))
            block += node.children[1:]
            node.replace_self(block)


def without_links(title: nodes.title) -> list[nodes.Node]:
    """A title's words: what opens a fold is one control, and a link in it would be a second one."""
    for link in list(title.findall(nodes.reference)):
        link.replace_self(link.children)
    return title.children


def visit_folded(self, node) -> None:
    self.body.append(self.starttag(node, "details", CLASS="admonition folded"))


def depart_folded(self, node) -> None:
    self.body.append("</details>\n")


def visit_title(self, node) -> None:
    self.body.append(self.starttag(node, "summary", "", CLASS="admonition-title"))


def depart_title(self, node) -> None:
    self.body.append("</summary>\n")


def setup(app: Sphinx) -> dict:
    app.add_node(folded, html=(visit_folded, depart_folded))
    app.add_node(folded_title, html=(visit_title, depart_title))
    app.add_post_transform(FoldDropdowns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
