"""A real HTTP server that takes alerts."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """A server at `url` that keeps what is posted to it, and answers with `status` after `delay` seconds; as often as
    it `refuses`, first with 503."""

    def __init__(self, path: str) -> None:
        self.status, self.delay, self.refuses = 200, 0.0, 0
        self.posted: list[dict[str, Any]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(webhook.delay)
                webhook.posted.append(body)
                self.send_response(503 if webhook.refuses else webhook.status)
                webhook.refuses = max(0, webhook.refuses - 1)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """The test's output is for the test."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
