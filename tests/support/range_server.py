"""A server of files that gives ranges, slowly if asked, and fails in the ways that servers fail."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer:
    """files: by name. rate: bytes per second of all answers together (0: no limit). requests: (name, first, last) of each.
    fault: "ranges" (ignores them), "change" (another ETag each time), "flip" (a bit of the answer), "cut" (half of the
    answer), "missing"; or None."""

    def __init__(self, folder: Path, rate: float = 0.0):
        self.folder, self.rate = folder, rate
        self.fault: str | None = None
        self.requests: list[tuple[str, int, int]] = []
        self._lock = threading.Lock()
        self._free_at = 0.0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *what) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RangeServer:
        return self

    def __exit__(self, *what) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = self.folder / request.path.strip("/")
        if self.fault == "missing" or not path.is_file():
            request.send_error(404)
            return
        data = path.read_bytes()
        first, last = (int(n) for n in request.headers["Range"].removeprefix("bytes=").split("-"))
        with self._lock:
            self.requests.append((path.name, first, last))
        part = bytearray(data if self.fault == "ranges" else data[first : last + 1])
        if self.fault == "flip":
            part[len(part) // 2] ^= 4
        self._wait(len(part))
        request.send_response(200 if self.fault == "ranges" else 206)
        request.send_header("Content-Length", str(len(part)))
        request.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        request.send_header("ETag", f'"{len(self.requests)}"' if self.fault == "change" else '"one"')
        request.end_headers()
        try:
            if self.fault == "cut":
                request.wfile.write(part[: len(part) // 2])
                request.close_connection = True
                request.connection.close()
                return
            request.wfile.write(part)
        except OSError:  # the client is gone
            request.close_connection = True

    def _wait(self, n: int) -> None:
        """One line for all answers."""
        if not self.rate:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + n / self.rate
            until = self._free_at
        time.sleep(max(0.0, until - time.monotonic()))
