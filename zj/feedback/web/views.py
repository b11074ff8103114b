"""The pages that are looked at: an item, the progress, and for experts and admins all items and their trails."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from zj.feedback.project.progress import by_annotator, by_department, progress_of, stuck
from zj.feedback.project.scheduler import last_judged, next_item
from zj.feedback.project.store import Refused
from zj.feedback.web.lists import item_list
from zj.feedback.web.pages import rank_page, trail
from zj.feedback.web.site import Site


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
        stuck=stuck(site.store) if user.role != "annotator" else 0,
        annotators=by_annotator(site.store) if user.role != "annotator" else [],
    )


def items_page(site: Site, request: Request, body: bytes) -> Response:
    site.staff(request)
    query = request.query_params
    offset = query.get("offset", "0")[:18]  # digits that SQLite has room for
    start = int(offset) if offset.isdecimal() else 0
    listed = item_list(site.store, query.get("state", ""), query.get("query", ""), start)
    return site.page(request, "items.html", **listed)


def trail_page(site: Site, request: Request, body: bytes) -> Response:
    site.staff(request)
    number = request.path_params["number"]
    row, item = site.store.item_row(number), site.store.item(number)
    about = {"number": number, "id": item.id, "department": item.prompt.department, "text": item.prompt.user}
    about |= {"answers": item.answers, "version": row["updated"], "state": row["state"]}
    events = trail(site.store, number, site.language(request))
    can_reopen = row["state"] in ("agreed", "decided")
    return site.page(request, "trail.html", item=about, events=events, can_reopen=can_reopen)
