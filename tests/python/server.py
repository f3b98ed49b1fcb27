"""Web servers for tests, on a free port, which is printed.

    server.py folder ROOT [--no-ranges]     serves the files of a folder
    server.py faults UPSTREAM               forwards requests to another server and injects faults; `POST /disturb` with a
                                            JSON object sets them: {"every": 3, "how": "503"}

Faults of every nth request: "503" responds without forwarding, "cut" sends half of the response and closes the connection,
"drop" closes the connection, "403" refuses, "silent-flip" changes a byte of the response. "after" forwards that many requests
first. `GET /requests` lists all requests so far.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COUNTED = threading.Lock()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Simultaneous clients wait instead of being refused.
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.options = options
        self.requests: list[str] = []
        self.disturb: dict[str, object] = {}
        self.seen = 0

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are separate writes. With Nagle's algorithm the second waits until the first is acknowledged.
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def note(self) -> None:
        with COUNTED:
            self.server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())

    def listed_requests(self) -> bool:
        if self.command == "GET" and self.path == "/requests":
            self.answer(200, json.dumps(self.server.requests).encode())
            return True
        return False


class Folder(Handler):
    """Serves the files of a folder, with byte ranges unless --no-ranges is given."""

    def do_GET(self) -> None:
        if self.listed_requests():
            return
        self.note()
        root = Path(self.server.options.where).resolve()
        path = (root / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            self.answer(404, b"no such file")
            return
        body = path.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None or self.server.options.no_ranges:
            self.answer(200, body)
            return
        first, last = int(wanted[1]), min(int(wanted[2]), len(body) - 1)
        if first >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            return
        self.answer(206, body[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(body)}"})

    do_HEAD = do_GET


class Faults(Handler):
    """Forwards to another server and injects faults."""

    def do_any(self) -> None:
        if self.listed_requests():
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/disturb":
            with COUNTED:
                self.server.disturb, self.server.seen = json.loads(body), 0
                self.server.requests.clear()
            self.answer(200, b"{}")
            return
        self.note()
        with COUNTED:
            self.server.seen += 1
            disturb = self.server.disturb
            past = self.server.seen - int(str(disturb.get("after", 0)))
            how = str(disturb.get("how")) if past > 0 and past % int(str(disturb.get("every", 1))) == 0 else ""
        if how == "drop":
            self.close_connection = True
            return
        if how in ("403", "503"):
            body_text = "<Error><Code>AccessDenied</Code><Message>not you</Message><Key>SECRETKEY</Key></Error>"
            self.answer(int(how), body_text.encode())
            return
        upstream = urlsplit(self.server.options.where)
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if how == "silent-flip" and self.command == "GET" and answer:
            middle = len(answer) // 2
            answer = answer[:middle] + bytes([answer[middle] ^ 1]) + answer[middle + 1 :]
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                self.send_header(name, value)
        length = response.headers.get("Content-Length") if self.command == "HEAD" else str(len(answer))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command == "HEAD":
            return
        if how == "cut":
            self.wfile.write(answer[: len(answer) // 2])
            self.close_connection = True
            return
        self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("folder", "faults"))
    parser.add_argument("where")
    parser.add_argument("--no-ranges", action="store_true")
    options = parser.parse_args()
    server = Server(Folder if options.kind == "folder" else Faults, options)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
