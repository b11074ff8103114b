"""The requests that change something: JSON in, one event, the item's new version out."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zj.feedback.ranking.judgement import checked_text
from zj.feedback.web.pages import from_screen
from zj.feedback.web.site import Failure, Site, check_csrf


def act(site: Site, request: Request, body: bytes) -> Response:
    """draft, judge, skip, flag, decide, reopen: one event about an item."""
    session, kind = site.session(request), request.path_params["kind"]
    check_csrf(session.csrf, request.headers.get("x-csrf-token", ""))
    if kind not in ("draft", "judge", "skip", "flag", "decide", "reopen"):
        raise Failure(404, "there is no such action")
    value = _object(body)
    number, version = (_whole(value, key) for key in ("item", "version"))
    event: dict[str, Any] = {}
    if kind in ("draft", "judge", "decide"):
        order = site.store.order(session.user.name, site.store.item(number))
        event["judgement"] = from_screen(value.get("judgement"), order, kind != "draft").as_json()
    if kind in ("judge", "decide"):
        event |= {"order": [*order], "seconds": _seconds(value.get("seconds"))}
    if kind in ("skip", "flag", "decide", "reopen"):
        event["reason"] = checked_text(value.get("reason"), "a reason").strip()
        if not event["reason"]:
            raise ValueError("found no reason, expected one")
    version = site.store.act(session.user, kind, number, version, _client(value), event)
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
