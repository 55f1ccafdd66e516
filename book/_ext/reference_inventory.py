"""Cross references to torch and Python without a download.

`inventories/*.txt` list, by hand, the outside names that our docstrings use. At build time each list is compiled
into the inventory format that sphinx.ext.intersphinx reads. A name that is missing there is a warning, hence an
error: add its line.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

FOLDER = Path(__file__).parent / "inventories"


def compile_inventory(text: str, project: str) -> tuple[str, bytes]:
    """Read a list ("base ADDRESS" once, then "NAME ROLE PAGE" lines) and return its base and inventory bytes."""
    base, entries = "", []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split() if line.lstrip().startswith("#") else line.split()
        if not words:
            continue
        if words[0] == "base" and len(words) == 2:
            base = words[1]
        elif len(words) == 3:
            name, role, page = words
            entries.append(f"{name} py:{role} 1 {page} -\n")
        else:
            raise ExtensionError(f"{project}.txt, line {number}: expected NAME ROLE PAGE, got {line!r}")
    if not base:
        raise ExtensionError(f"{project}.txt: no line 'base ADDRESS'")
    header = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    return base, header.encode() + zlib.compress("".join(entries).encode())


def configure(app: Sphinx, config) -> None:
    """Compile every list and point intersphinx at the results."""
    target = Path(app.outdir).parent / "inventories"
    target.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for source in sorted(FOLDER.glob("*.txt")):
        base, data = compile_inventory(source.read_text(encoding="utf-8"), source.stem)
        compiled = target / f"{source.stem}.inv"
        compiled.write_bytes(data)
        mapping[source.stem] = (base, str(compiled))
    config.intersphinx_mapping = mapping


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", configure, priority=100)  # before intersphinx checks its mapping
    return {"parallel_read_safe": True, "parallel_write_safe": True}
