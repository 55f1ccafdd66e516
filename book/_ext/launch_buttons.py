"""Where this book's repository is, and the buttons and words that follow from it.

The address comes from the environment, so that a fork's pages open the fork: BOOK_REPOSITORY ("owner/name" or a
web address), then GITHUB_REPOSITORY (set on GitHub Actions), then git's origin. With none known the buttons are
absent, and the role ``{repository}`` says "this book's repository" instead of naming it.

On GitHub the buttons open copies of the notebooks on a branch of their own, which the Pages workflow writes with
tools/colab.py: Colab and Jupyter cannot show MyST, and Colab has to be told where to get the package.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"
UNKNOWN_ADDRESS = "ADDRESS-OF-THIS-REPOSITORY"
PROVIDERS = ("github", "gitlab")  # the hosts that Binder and Colab know
LAUNCH_BRANCH = "colab"  # where the Pages workflow puts the copies
LAUNCH_FOLDER = "launch"  # where it puts the wheel and the drawings, beside the site's pages


@dataclass(frozen=True)
class Repository:
    """A repository on the web: its address, such as https://github.com/owner/name, and the branch to open."""

    url: str
    branch: str = "main"

    @property
    def name(self) -> str:
        """The last two parts of the address: "owner/name"."""
        return "/".join(self.url.split("/")[-2:])

    @property
    def provider(self) -> str | None:
        """The host, where Colab or Binder can open its repositories, else None."""
        host = urlsplit(self.url).hostname or ""
        return next((known for known in PROVIDERS if host == f"{known}.com"), None)


def web_address(remote: str, server: str | None = None) -> str | None:
    """Turn what git or a person writes into a web address without credentials; None if it names no web host.

    "owner/name" is a repository on `server`; without one it is a folder.
    """
    remote = remote.strip()
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", remote):
        return f"{server.rstrip('/')}/{remote.removesuffix('.git')}" if server else None
    copied = re.fullmatch(r"(?:[\w.-]+@)?([\w-]+(?:\.[\w-]+)+):(?!//)([\w./~-]+)", remote)  # git@host:owner/name.git
    if copied:
        host, path = copied.groups()
    else:
        parts = urlsplit(remote)
        if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname:
            return None
        host, path = parts.hostname, parts.path
    path = path.strip("/").removesuffix(".git")
    local = host == "localhost" or host.replace(".", "").isdigit()
    return None if local or path.count("/") < 1 else f"https://{host}/{path}"


def git_origin(folder: Path) -> str | None:
    """What git calls origin in `folder`, or None without git, a repository or a remote."""
    command = ["git", "-C", str(folder), "config", "--get", "remote.origin.url"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def find_repository(environment: dict[str, str], origin: str | None) -> Repository | None:
    """The first address that is known: the override, GitHub Actions' variable, git's origin."""
    candidates = (
        (environment.get("BOOK_REPOSITORY"), "https://github.com"),
        (environment.get("GITHUB_REPOSITORY"), environment.get("GITHUB_SERVER_URL") or "https://github.com"),
        (origin, None),
    )
    for remote, server in candidates:
        address = web_address(remote, server) if remote else None
        if address:
            return Repository(address, find_branch(environment))
    return None


def find_branch(environment: dict[str, str]) -> str:
    """The branch that the buttons open: BOOK_BRANCH, the branch GitHub Actions builds, else main."""
    built = environment.get("GITHUB_REF_NAME") or ""
    if environment.get("GITHUB_REF_TYPE") != "branch" or re.fullmatch(r"\d+/merge", built):  # a tag, a pull request
        built = ""
    return environment.get("BOOK_BRANCH") or built or "main"


def site_address(repository: Repository) -> str:
    """Where GitHub Pages shows the site of a repository; a repository called owner.github.io is at the top."""
    owner, name = repository.name.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}" if name.lower() == host else f"https://{host}/{name}"


def page_links(repository: Repository | None, page: str) -> list[dict]:
    """The links above a notebook's page: run it, read its source, keep a copy. `page` is its name, no suffix."""
    links = []
    provider = repository.provider if repository else None
    path = f"book/{page}.ipynb"
    if provider == "github":
        links.append(("Open in Colab", f"{COLAB}/github/{repository.name}/blob/{LAUNCH_BRANCH}/{path}"))
        links.append(("Open in Binder", f"{BINDER}/v2/gh/{repository.name}/{LAUNCH_BRANCH}?urlpath=lab/tree/{path}"))
    if provider == "gitlab":
        place = f"{quote(urlsplit(repository.url).path.strip('/'), safe='')}/{repository.branch}"
        links.append(("Open in Binder", f"{BINDER}/v2/gl/{place}?urlpath=lab/tree/{path}"))
    return [{"text": text, "url": url, "download": False} for text, url in links]


def configure(app: Sphinx, config) -> None:
    """Find the address, for the roles, and keep the theme from making buttons to somebody else's repository."""
    repository = find_repository(dict(os.environ), git_origin(Path(app.srcdir)))
    config.book_repository = repository.url if repository else ""
    config.book_branch = repository.branch if repository else ""
    for option in ("repository_url", "repository_branch", "path_to_docs"):
        config.html_theme_options.pop(option, None)
    config.html_theme_options["launch_buttons"] = {}


def add_links(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Hand the links to the page's template."""
    address = app.config.book_repository
    repository = Repository(address, app.config.book_branch) if address else None
    context["book_repository"] = address
    context["page_links"] = []
    if doctree is not None and Path(app.env.doc2path(pagename)).suffix == ".ipynb":
        address = context["pathto"](f"_sources/{pagename}.ipynb", 1)
        copy = {"text": "Download notebook", "url": address, "download": True}
        context["page_links"] = [*page_links(repository, pagename), copy]


class RepositoryRole(SphinxRole):
    """``{repository}`link` `` links the repository by its name; other words are given as formats.

    ``{repository}`link` ``: "owner/name", linked, or the words "this book's repository".
    ``{repository}`git+{url}` ``: literal text with the address in place of {url}, {name}; unknown, it reads
    "the address of this book's repository" in the same place.
    """

    def run(self):
        url = self.config.book_repository
        if self.text == "link":
            if not url:
                return [nodes.Text("this book\N{RIGHT SINGLE QUOTATION MARK}s repository")], []
            name = "/".join(url.split("/")[-2:])
            return [nodes.reference("", name, refuri=url, internal=False)], []
        address = url or UNKNOWN_ADDRESS
        name = "/".join(address.split("/")[-2:])
        text = self.text.replace("{url}", address).replace("{name}", name)
        return [nodes.literal(text, text)], []


class RepositoryCode(SphinxDirective):
    """``{repository-code} LANGUAGE``: a code block with the repository's address in place of {url}."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content).replace("{url}", self.config.book_repository or UNKNOWN_ADDRESS)
        block = nodes.literal_block(text, text, language=self.arguments[0])
        self.set_source_info(block)
        return [block]


def setup(app: Sphinx) -> dict:
    app.add_config_value("book_repository", "", "env", types=(str,))
    app.add_config_value("book_branch", "", "html", types=(str,))
    app.add_role("repository", RepositoryRole())
    app.add_directive("repository-code", RepositoryCode)
    app.connect("config-inited", configure, priority=100)
    app.connect("html-page-context", add_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
