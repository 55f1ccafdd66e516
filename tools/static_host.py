"""The built site as a static host serves it: text compressed, files kept by the browser for a while.

`make book` serves without either (tools/serve.py), so that an author always sees the newest build; here the pages are
measured as a reader gets them.
"""

from __future__ import annotations

import gzip
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMPRESSED = {".html", ".css", ".js", ".svg", ".json", ".txt", ".xml", ".inv", ".webmanifest"}
KEPT_SECONDS = 600  # what GitHub Pages allows


@cache
def compressed(path: Path) -> bytes:
    """The file as a host sends it."""
    data = path.read_bytes()
    return gzip.compress(data, compresslevel=6, mtime=0) if path.suffix in COMPRESSED else data


def transfer_size(path: Path) -> int:
    """Bytes of the file's body on the wire."""
    return len(compressed(path))


class HostHandler(BaseHTTPRequestHandler):
    """Serves the files of one folder, and nothing outside it."""

    protocol_version = "HTTP/1.1"  # one connection carries several files

    def __init__(self, *arguments, folder: Path, **named):
        self.folder = folder.resolve()
        super().__init__(*arguments, **named)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def answer(self, with_body: bool) -> None:
        path = self.find(urlsplit(self.path).path)
        if path is None:
            self.send_error(404)
            return
        body = compressed(path)
        self.send_response(200)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if path.suffix in COMPRESSED else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", f"max-age={KEPT_SECONDS}")
        if path.suffix in COMPRESSED:
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def find(self, address: str) -> Path | None:
        """The file for an address; a folder's is its index.html."""
        path = (self.folder / unquote(address).lstrip("/")).resolve()
        path = path / "index.html" if path.is_dir() else path
        return path if path.is_file() and path.is_relative_to(self.folder) else None

    def log_message(self, *arguments) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve a folder on this machine while the block runs; gives the address. Port 0 takes any that is free."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(HostHandler, folder=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
