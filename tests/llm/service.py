"""A service of OpenAI's protocol on 127.0.0.1, which fails as it is told and counts what it was paid for."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-secret-0123456789"


class Service:
    """`plans[text]`: what comes before the reply to a prompt, e.g. ["500", "429", "cut", "broken", "empty", "slow"]."""

    def __init__(self) -> None:
        self.plans = defaultdict[str, list[str]](list)
        self.paid, self.times = Counter[str](), list[float]()  # whole replies of each prompt; arrivals
        self.limits, self.newer = list[dict[str, int]](), False  # what limits a reply, and whether max_tokens may not
        self.retry_after, self.seconds, self.at_work, self.most_at_work = "0.01", 0.0, 0, 0
        self.lock = threading.Lock()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        text = request["messages"][-1]["content"]
        with self.lock:
            self.times.append(time.monotonic())
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            what = self.plans[text].pop(0) if self.plans[text] else "reply"
            self.limits.append({name: request[name] for name in request if name.startswith("max_")})
        what = "newer" if self.newer and "max_tokens" in request else what
        try:
            time.sleep(self.seconds)
            self.send(handler, text, what)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.at_work -= 1

    def send(self, handler: BaseHTTPRequestHandler, text: str, what: str) -> None:
        choice = {"message": {"role": "assistant", "content": f"re: {text}"}, "finish_reason": "stop"}
        body = {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
        status, headers = 200, {}
        if what.isdigit():
            code = {"429": "rate_limit_exceeded", "401": "invalid_api_key", "400": "content_filter"}.get(what, "oops")
            status, body = int(what), {"error": {"message": f"the key {KEY} is bad", "code": code}}
            headers = {"Retry-After": self.retry_after} if what == "429" else {}
        if what == "newer":
            status, body = 400, {"error": {"message": "Unsupported parameter", "code": "unsupported_parameter"}}
        if what == "empty":
            body["choices"] = []
        if what == "slow":
            time.sleep(0.5)
        raw = b'{"choices": [' if what == "broken" else json.dumps(body).encode()
        if what == "reply":  # counted before it is sent: a client that has it is never ahead of the count
            with self.lock:
                self.paid[text] += 1
        handler.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(raw))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw[: len(raw) // 2] if what == "cut" else raw)
        if what == "cut":
            handler.close_connection = True


@contextmanager
def serving(monkeypatch) -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            service.answer(self)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
