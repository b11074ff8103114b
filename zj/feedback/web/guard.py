"""What stands around every request: a strict content policy, a limit of size, no request that another site sends."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1 << 20  # bytes
LONGEST_PATH = 1000  # characters; Python makes no number of some thousand digits
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses changes that another site's page sends, and adds the headers to each response."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        foreign = scope["method"] not in ("GET", "HEAD") and is_foreign(Headers(scope=scope))
        app = PlainTextResponse("this request comes from another site\n", 403) if foreign else self.app
        if len(scope["path"]) > LONGEST_PATH:
            app = PlainTextResponse("the address is too long\n", 414)
        await app(scope, receive, send_with_headers)


def is_foreign(headers: Headers) -> bool:
    """Whether a page of another site has sent the request, as browsers say since 2023 (Sec-Fetch-Site) or by Origin."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


async def read_body(request: Request) -> bytes | None:
    """The body; None if it is larger than `LARGEST_BODY`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return body
