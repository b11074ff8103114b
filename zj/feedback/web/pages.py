"""What the pages show, as plain data: the store's records by answer become the screen's records by place."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from zj.feedback.project.events import Event, read_events
from zj.feedback.project.progress import progress_of, written
from zj.feedback.project.store import Store, User
from zj.feedback.ranking.criteria import ADMISSION, DIMENSION_KEYS, DIMENSIONS
from zj.feedback.ranking.judgement import OVERALL, Judgement, parse_judgement
from zj.feedback.ranking.ranks import Ranks, at_places, by_answer

LETTERS = "ABCDEFGH"


def rank_page(store: Store, user: User, number: int, language: str) -> dict[str, Any]:
    """The page on which a user ranks, decides on or looks at an item."""
    item, row, seat = store.item(number), store.item_row(number), store.seat(number, user.name)
    order = store.order(user.name, item)
    mode = "view"
    if seat is not None and seat.role == user.role and row["state"] != "decided":
        mode = "rank" if user.role == "annotator" else "decide" if row["state"] == "disputed" else "view"
    saved = seat and (seat.draft or seat.judgement)
    return {
        "mode": mode,
        "item": number,
        "version": store.version(number, user),
        "department": item.prompt.department,
        "source": "" if user.role == "annotator" else item.source,
        "system": item.prompt.system,
        "history": [list(turn) for turn in item.prompt.history],
        "user": item.prompt.user,
        "answers": at_places(item.answers, order),
        "dimensions": [{"key": part.key, "name": part.name[language]} for part in DIMENSIONS],
        "abilities": [
            {"key": a.key, "dimension": d.key, "name": a.name[language], "explanation": a.explanation[language]}
            for d in DIMENSIONS
            for a in d.abilities
        ],
        "saved": saved and on_screen(saved, order),
        "submitted": seat is not None and seat.state == "judged",
        **_of_others(store, user, number, order),
        "progress": progress_of(store, user),
        "admission": ADMISSION[language],
        "next": "/",
    }


def _of_others(store: Store, user: User, number: int, order: Sequence[int]) -> dict[str, Any]:
    """Judgements and reasons of the annotators, as A and B in an order that tells nobody who is who."""
    if user.role == "annotator":
        return {"others": [], "reasons": []}
    query = "SELECT users.pseudonym, seats.state, seats.reason FROM seats JOIN users ON users.name = seats.user"
    seats = store.db.execute(f"{query} WHERE item = ? AND seats.role = 'annotator'", (number,)).fetchall()
    people = sorted(seat["pseudonym"] for seat in seats)
    random.Random(f"{store.settings.seed}/names/{number}").shuffle(people)
    name = dict(zip(people, LETTERS, strict=False))
    judged = sorted((name[who], j) for who, role, j in store.judgements(number) if role == "annotator")
    reasons = [
        {"name": name[seat["pseudonym"]], "kind": seat["state"].replace("flagged", "flag").replace("skipped", "skip")}
        | {"reason": seat["reason"]}
        for seat in seats
        if seat["state"] in ("flagged", "skipped")
    ]
    row = store.item_row(number)
    if row["state"] == "disputed" and row["reason"] in (DIMENSION_KEYS[0], "order"):
        reasons.append({"name": "", "kind": "disagreement", "reason": row["reason"]})
    for event in read_events(store.db, number):
        if event.kind == "reopen":
            reasons.append({"name": "", "kind": "reopen", "reason": event.body["reason"]})
    others = [{"name": letter, "judgement": on_screen(j.as_json(), order)} for letter, j in judged]
    return {"others": others, "reasons": sorted(reasons, key=lambda reason: reason["name"])}


def on_screen(judgement: dict[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """A judgement's JSON by place."""
    place = {str(answer): str(index) for index, answer in enumerate(order)}
    return judgement | {
        "ranks": {key: at_places(ranks, order) for key, ranks in judgement["ranks"].items()},
        "faults": at_places(judgement["faults"], order),
        "rewrites": {place[answer]: text for answer, text in judgement["rewrites"].items()},
    }


def from_screen(value: Any, order: Sequence[int], complete: bool) -> Judgement:
    """A judgement by answer from the page's JSON by place. ValueError for anything else."""
    judgement = parse_judgement(value, len(order), complete)
    if OVERALL in judgement.ranks:
        raise ValueError(f"found one order alone, expected one of each of {', '.join(DIMENSION_KEYS)}")
    return Judgement(
        {key: tuple(by_answer(ranks, order)) for key, ranks in judgement.ranks.items()},
        tuple(by_answer(judgement.faults, order)),
        {order[place]: text for place, text in judgement.rewrites.items()},
        judgement.notes,
    )


def trail(store: Store, number: int, language: str) -> list[dict[str, str]]:
    """All events of an item but drafts, oldest first."""
    pseudonyms = {user.name: user.pseudonym for user in store.users()}
    return [
        {
            "time": written(event.time),
            "who": pseudonyms.get(event.user, ""),
            "kind": event.kind,
            "detail": _detail(event, language),
        }
        for event in read_events(store.db, number)
        if event.kind not in ("draft", "open")
    ]


def _detail(event: Event, language: str) -> str:
    judgement, reason = event.body.get("judgement"), event.body.get("reason")
    parts = [reason] if reason else []
    if judgement:
        ranks, names = judgement["ranks"], {part.key: part.name[language] + " " for part in DIMENSIONS}
        orders = [names.get(key, "") + in_words(ranks[key]) for key in (OVERALL, *DIMENSION_KEYS) if key in ranks]
        rewrites = [f"{int(answer) + 1}: {text}" for answer, text in judgement["rewrites"].items()]
        parts = [*orders, *rewrites, *filter(None, [judgement["notes"]]), *parts]
    return " · ".join(parts)


def in_words(ranks: Ranks) -> str:
    """ "2 > 1 = 4 > 3": the numbers of the answers in the order of import, the best first."""
    by_rank = sorted(range(len(ranks)), key=lambda answer: (ranks[answer], answer))
    text = ""
    for before, answer in zip([None, *by_rank], by_rank, strict=False):
        sign = "" if before is None else " = " if ranks[before] == ranks[answer] else " > "
        text += f"{sign}{answer + 1}"
    return text
