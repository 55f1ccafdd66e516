"""Serve the built site on this machine: python tools/serve.py FOLDER PORT."""

import errno
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a line for each request, and always the newest build."""

    def log_message(self, format, *args):
        pass

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def main(folder: str, port: str) -> None:
    handler = partial(QuietHandler, directory=folder)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(explain(error, port))
    print(f"The book is at http://localhost:{port} (Ctrl-C stops; make book PORT=... takes another port).", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


def explain(error: Exception, port: str) -> str:
    """Say in a sentence why the server cannot listen on this port."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use, perhaps by another make book. Choose another: make book PORT={int(port) + 1}"
    if isinstance(error, OSError) and error.errno == errno.EACCES:
        return f"Port {port} is reserved for the system. Choose one above 1023: make book PORT=8000"
    if isinstance(error, (OverflowError, ValueError)):
        return f"PORT must be a number from 1 to 65535, not {port!r}: make book PORT=8000"
    return f"Cannot serve on port {port}: {error}"


if __name__ == "__main__":
    main(*sys.argv[1:])
