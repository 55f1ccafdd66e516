"""Pack the built site into a zip that opens from any disk: python tools/make_zip.py [FOLDER [TARGET]].

The same folder gives the same bytes: names are sorted, every file has the same date and rights.
"""

from __future__ import annotations

import os
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "recurrent-networks-twice"
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)  # the first that the format knows
LEFT_OUT = {".buildinfo", ".nojekyll"}  # for the build and for a host


def main(folder: str = "_build/html", target: str | None = None) -> None:
    site = Path(folder)
    if not (site / "index.html").is_file():
        sys.exit(f"There is no built site in {folder}. Run: make build")
    archive = Path(target) if target else ROOT / "dist" / f"{NAME}-{version()}.zip"
    archive.parent.mkdir(parents=True, exist_ok=True)
    count = pack(site, archive, f"{NAME}-{version()}")
    print(f"{archive}: {count} files, {archive.stat().st_size / 1e6:.1f} MB. Unpack it and open index.html.")


def version() -> str:
    """The book's version, the same as the package's."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def pack(site: Path, archive: Path, top: str) -> int:
    """Write the files of a folder into a zip, under one folder named `top`; returns how many."""
    paths = sorted(path for path in site.rglob("*") if path.is_file() and path.name not in LEFT_OUT)
    draft = archive.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in paths:
            entry = zipfile.ZipInfo(f"{top}/{path.relative_to(site).as_posix()}", OLDEST_DATE)
            entry.create_system = 3  # Unix, whatever the machine: the rights below are its
            entry.external_attr = 0o100644 << 16
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)
    os.replace(draft, archive)  # in one step, so that breaking off never leaves half a zip
    return len(paths)


if __name__ == "__main__":
    main(*sys.argv[1:])
