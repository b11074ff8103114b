"""What all handlers of the ranking tool share: who is logged in, templates, refusals as an HTTP status."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from zj.feedback.project.passwords import Throttle
from zj.feedback.project.sessions import Session, Sessions
from zj.feedback.project.store import Conflict, Refused, Store
from zj.feedback.web.agreement import AgreementCache
from zj.feedback.web.guard import read_body
from zj.feedback.web.strings import LANGUAGES, STRINGS, preferred_language

FOLDER = Path(__file__).parent
SESSION, LOGIN, LANGUAGE = "zj_session", "zj_login", "zj_language"  # cookies
OLD_FORM = "the form is too old: open the page again"
TEMPLATES = Environment(loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined)
Handler = Callable[["Site", Request, bytes], Response]


class Failure(Exception):
    """An HTTP status in place of a page."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Site:
    """What the handlers share."""

    store: Store

    def __post_init__(self) -> None:
        self.sessions = Sessions(self.store)
        self.agreement = AgreementCache(self.store)
        self.by_name, self.by_address = Throttle(5, 300), Throttle(20, 300)  # wrong passwords in five minutes

    def answer(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A route's endpoint: reads the body, runs the handler in a thread, turns what is refused into a status."""

        async def endpoint(request: Request) -> Response:
            body = await read_body(request)
            if body is None:
                return JSONResponse({"error": "the request is too large"}, 413)
            return await run_in_threadpool(self._handle, handler, request, body)

        return endpoint

    def _handle(self, handler: Handler, request: Request, body: bytes) -> Response:
        try:
            return handler(self, request, body)
        except Failure as failure:
            status, message = failure.status, failure.message
        except Refused as error:
            status, message = 403, str(error)
        except Conflict as error:
            status, message = 409, str(error)
        except ValueError as error:
            status, message = 422, str(error)
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": message}, status)
        if status == 401:
            return RedirectResponse("/login", 303)
        key = "error_csrf" if message is OLD_FORM else "error_forbidden" if status == 403 else "error_page"
        return HTMLResponse(self.render(request, "message.html", error=key, detail=message), status)

    def session(self, request: Request) -> Session:
        """Who asks. Failure 401 without a session."""
        session = self.sessions.find(request.cookies.get(SESSION, ""))
        if session is None:
            raise Failure(401, "the session is over: log in again")
        return session

    def staff(self, request: Request) -> Session:
        """An expert or admin who asks; `Refused` for an annotator."""
        session = self.session(request)
        if session.user.role == "annotator":
            raise Refused("found an annotator, expected an expert or an admin")
        return session

    def language(self, request: Request) -> str:
        chosen = request.cookies.get(LANGUAGE, "")
        return chosen if chosen in LANGUAGES else preferred_language(request.headers.get("accept-language", ""))

    def render(self, request: Request, template: str, **values: Any) -> str:
        session, language = self.sessions.find(request.cookies.get(SESSION, "")), self.language(request)
        shared = {
            "t": STRINGS[language],
            "language": language,
            "user": session and {"name": session.user.name, "role": session.user.role},
            "csrf": session.csrf if session else request.cookies.get(LOGIN, ""),
            "path": request.url.path,
        }
        return TEMPLATES.get_template(template).render(shared | values)

    def page(self, request: Request, template: str, **values: Any) -> Response:
        return HTMLResponse(self.render(request, template, **values))


def check_csrf(expected: str, given: str) -> None:
    """Failure 403 for a request that was not made on our page."""
    if not expected or not secrets.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise Failure(403, OLD_FORM)


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure)


def form_of(body: bytes) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace"), max_num_fields=20).items()}
