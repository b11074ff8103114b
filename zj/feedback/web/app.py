"""The routes of the ranking tool."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from zj.feedback.project.store import Store
from zj.feedback.web.changes import act, release
from zj.feedback.web.door import log_in, log_out, login_page, set_language
from zj.feedback.web.guard import Guard
from zj.feedback.web.site import FOLDER, Site
from zj.feedback.web.views import back, item_page, items_page, progress_page, trail_page, work_page


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
