"""The routes of the ranking tool. Each checks who asks, and turns what the store refuses into an HTTP status."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from zj.feedback.judgement import checked_text
from zj.feedback.passwords import Throttle
from zj.feedback.progress import by_annotator, by_department, progress_of
from zj.feedback.scheduler import last_judged, next_item
from zj.feedback.sessions import Session, Sessions
from zj.feedback.store import Conflict, Refused, Store
from zj.feedback.web.agreement import AgreementCache
from zj.feedback.web.guard import Guard, read_body
from zj.feedback.web.lists import item_list
from zj.feedback.web.pages import from_screen, rank_page, trail
from zj.feedback.web.strings import LANGUAGES, STRINGS, preferred_language

FOLDER = Path(__file__).parent
SESSION, LOGIN, LANGUAGE = "zj_session", "zj_login", "zj_language"  # cookies
Handler = Callable[["Site", Request, bytes], Response]


def make_app(store: Store, hosts: Sequence[str] = ("localhost", "127.0.0.1")) -> Starlette:
    """The application. `hosts`: names by which browsers may address it; another one is refused (DNS rebinding)."""
    site = Site(store)
    routes = [
        Route("/login", site.answer(login_page)),
        Route("/login", site.answer(log_in), methods=["POST"]),
        Route("/logout", site.answer(log_out), methods=["POST"]),
        Route("/language", site.answer(set_language), methods=["POST"]),
        Route("/", site.answer(work_page)),
        Route("/back", site.answer(back)),
        Route("/item/{number:int}", site.answer(item_page)),
        Route("/progress", site.answer(progress_page)),
        Route("/items", site.answer(items_page)),
        Route("/trail/{number:int}", site.answer(trail_page)),
        Route("/api/release", site.answer(release), methods=["POST"]),
        Route("/api/{kind}", site.answer(act), methods=["POST"]),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]
    middleware = [Middleware(Guard), Middleware(TrustedHostMiddleware, allowed_hosts=[*hosts])]
    return Starlette(routes=routes, middleware=middleware)


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
        loader = FileSystemLoader(FOLDER / "templates")
        self.templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)

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
        return HTMLResponse(self.render(request, "message.html", message=message), status)

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
        return self.templates.get_template(template).render(shared | values)

    def page(self, request: Request, template: str, **values: Any) -> Response:
        return HTMLResponse(self.render(request, template, **values))


def check_csrf(expected: str, given: str) -> None:
    """Failure 403 for a request that was not made on our page."""
    if not expected or not secrets.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise Failure(403, "the form is too old: open the page again")


# ---- the door


def login_page(site: Site, request: Request, body: bytes, error: str = "", status: int = 200) -> Response:
    token = request.cookies.get(LOGIN) or secrets.token_urlsafe(16)
    response = HTMLResponse(site.render(request, "login.html", error=error, csrf=token), status)
    _set_cookie(request, response, LOGIN, token)
    return response


def log_in(site: Site, request: Request, body: bytes) -> Response:
    form = _form(body)
    check_csrf(request.cookies.get(LOGIN, ""), form.get("csrf", ""))
    name, address = form.get("name", "").strip(), request.client.host if request.client else ""
    limits = [(site.by_name, f"{address} {name[:100]}"), (site.by_address, address)]
    if not all(throttle.allows(key) for throttle, key in limits):
        return login_page(site, request, body, "too_many_attempts", 429)
    token = site.sessions.log_in(name, form.get("password", ""))
    if token is None:
        for throttle, key in limits:
            throttle.count(key)
        return login_page(site, request, body, "wrong_password", 401)
    response = RedirectResponse("/", 303)
    _set_cookie(request, response, SESSION, token)
    return response


def log_out(site: Site, request: Request, body: bytes) -> Response:
    check_csrf(site.session(request).csrf, _form(body).get("csrf", ""))
    site.sessions.log_out(request.cookies[SESSION])
    response = RedirectResponse("/login", 303)
    response.delete_cookie(SESSION)
    return response


def set_language(site: Site, request: Request, body: bytes) -> Response:
    session, form = site.sessions.find(request.cookies.get(SESSION, "")), _form(body)
    check_csrf(session.csrf if session else request.cookies.get(LOGIN, ""), form.get("csrf", ""))
    target = form.get("next", "/")
    inside = target.startswith("/") and not target.startswith(("//", "/\\"))  # no way to another site
    response = RedirectResponse(target if inside else "/", 303)
    if form.get("language") in LANGUAGES:
        _set_cookie(request, response, LANGUAGE, form["language"])
    return response


def _set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure)


def _form(body: bytes) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace"), max_num_fields=20).items()}


# ---- pages


def work_page(site: Site, request: Request, body: bytes) -> Response:
    user = site.session(request).user
    if user.role == "admin":
        return RedirectResponse("/progress", 303)
    number = next_item(site.store, user)
    if number is None:
        return site.page(request, "done.html", progress=progress_of(site.store, user))
    return site.page(request, "rank.html", page=rank_page(site.store, user, number, site.language(request)))


def item_page(site: Site, request: Request, body: bytes) -> Response:
    user, number = site.session(request).user, request.path_params["number"]
    if user.role == "annotator" and site.store.seat(number, user.name) is None:
        raise Refused("found an item that is not with this user, expected one that was given to them")
    return site.page(request, "rank.html", page=rank_page(site.store, user, number, site.language(request)))


def back(site: Site, request: Request, body: bytes) -> Response:
    number = last_judged(site.store, site.session(request).user)
    return RedirectResponse("/" if number is None else f"/item/{number}", 303)


def progress_page(site: Site, request: Request, body: bytes) -> Response:
    user = site.session(request).user
    return site.page(
        request,
        "progress.html",
        progress=progress_of(site.store, user),
        items=by_department(site.store),
        agreement=site.agreement.rows(),
        annotators=by_annotator(site.store) if user.role != "annotator" else [],
    )


def items_page(site: Site, request: Request, body: bytes) -> Response:
    site.staff(request)
    query = request.query_params
    offset = query.get("offset", "0")
    listed = item_list(
        site.store, query.get("state", ""), query.get("query", ""), int(offset) if offset.isdecimal() else 0
    )
    return site.page(request, "items.html", **listed)


def trail_page(site: Site, request: Request, body: bytes) -> Response:
    site.staff(request)
    number = request.path_params["number"]
    row, item = site.store.item_row(number), site.store.item(number)
    about = {"number": number, "id": item.id, "department": item.prompt.department, "text": item.prompt.user}
    about |= {"answers": item.answers, "version": row["updated"], "state": row["state"]}
    can_reopen = row["state"] in ("agreed", "decided")
    return site.page(request, "trail.html", item=about, events=trail(site.store, number), can_reopen=can_reopen)


# ---- changes


def act(site: Site, request: Request, body: bytes) -> Response:
    """draft, judge, skip, flag, decide, reopen: one event about an item."""
    session, kind = site.session(request), request.path_params["kind"]
    check_csrf(session.csrf, request.headers.get("x-csrf-token", ""))
    if kind not in ("draft", "judge", "skip", "flag", "decide", "reopen"):
        raise Failure(404, "there is no such action")
    value = _object(body)
    number, version = (_whole(value, key) for key in ("item", "version"))
    event = {}
    if kind in ("draft", "judge", "decide"):
        order = site.store.order(session.user.name, site.store.item(number))
        event["judgement"] = from_screen(value.get("judgement"), order, kind != "draft").as_json()
    if kind in ("judge", "decide"):
        event |= {"order": [*order], "seconds": _seconds(value.get("seconds"))}
    if kind in ("skip", "flag", "decide", "reopen"):
        event["reason"] = checked_text(value.get("reason"), "a reason").strip()
        if not event["reason"]:
            raise ValueError("found no reason, expected one")
    version = site.store.act(session.user, kind, number, version, _client(value), event)  # type: ignore[arg-type]
    return JSONResponse({"version": version, "next": "/"})


def release(site: Site, request: Request, body: bytes) -> Response:
    session = site.session(request)
    check_csrf(session.csrf, request.headers.get("x-csrf-token", ""))
    value = _object(body)
    site.store.release(session.user, checked_text(value.get("user"), "a name"), _client(value))
    return JSONResponse({"next": "/progress"})


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError("found no JSON object, expected one")
    return value


def _whole(value: dict[str, Any], key: str) -> int:
    number = value.get(key)
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(f"found {key} of another form, expected a whole number")
    return number


def _seconds(value: Any) -> float | None:
    """Time in use as the page has measured it, at most an hour; None for nonsense, which is no reason to refuse."""
    return float(value) if type(value) in (int, float) and 0 < value <= 3600 else None


def _client(value: dict[str, Any]) -> str:
    client = value.get("client")
    if not isinstance(client, str) or not 8 <= len(client) <= 64:
        raise ValueError("found client of another form, expected a text of 8 to 64 characters")
    return client
