"""The door: login, logout, and the language, which one may choose before."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from zj.feedback.web.site import LANGUAGE, LOGIN, SESSION, Site, check_csrf, form_of, set_cookie
from zj.feedback.web.strings import LANGUAGES


def login_page(site: Site, request: Request, body: bytes, error: str = "", status: int = 200) -> Response:
    token = request.cookies.get(LOGIN) or secrets.token_urlsafe(16)
    response = HTMLResponse(site.render(request, "login.html", error=error, csrf=token), status)
    set_cookie(request, response, LOGIN, token)
    return response


def log_in(site: Site, request: Request, body: bytes) -> Response:
    form = form_of(body)
    check_csrf(request.cookies.get(LOGIN, ""), form.get("csrf", ""))
    name, address = form.get("name", "").strip(), request.client.host if request.client else ""
    limits = [(site.by_name, f"{address} {name[:100]}"), (site.by_address, address)]
    if not all(throttle.take(key) for throttle, key in limits):
        return login_page(site, request, body, "too_many_attempts", 429)
    token = site.sessions.log_in(name, form.get("password", ""))
    if token is None:
        return login_page(site, request, body, "wrong_password", 401)
    for throttle, key in limits:
        throttle.give_back(key)
    response = RedirectResponse("/", 303)
    set_cookie(request, response, SESSION, token)
    return response


def log_out(site: Site, request: Request, body: bytes) -> Response:
    check_csrf(site.session(request).csrf, form_of(body).get("csrf", ""))
    site.sessions.log_out(request.cookies[SESSION])
    response = RedirectResponse("/login", 303)
    response.delete_cookie(SESSION)
    return response


def set_language(site: Site, request: Request, body: bytes) -> Response:
    session, form = site.sessions.find(request.cookies.get(SESSION, "")), form_of(body)
    check_csrf(session.csrf if session else request.cookies.get(LOGIN, ""), form.get("csrf", ""))
    target = form.get("next", "/")
    inside = target.startswith("/") and not target.startswith(("//", "/\\"))  # no way to another site
    response = RedirectResponse(target if inside else "/", 303)
    if form.get("language") in LANGUAGES:
        set_cookie(request, response, LANGUAGE, form["language"])
    return response
