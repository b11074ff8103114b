"""What may be done to a ranking project, and that nothing of it is lost."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.feedback.project import act, items, judge, judgement, project, table, user
from zj.data.records import Candidates, Prompt
from zj.feedback.project.derived import TABLES
from zj.feedback.project.events import connect
from zj.feedback.project.progress import stuck
from zj.feedback.project.scheduler import last_judged, next_item
from zj.feedback.project.store import Conflict, Refused, Settings, Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path) -> Store:
    return project(tmp_path)


def opened(store: Store, *names: str) -> int:
    """The item that all of these users have open."""
    numbers = {next_item(store, user(store, name)) for name in names}
    assert len(numbers) == 1
    return numbers.pop() or 0


def test_two_who_agree_settle_an_item(store):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    assert store.item_row(number)["state"] == "open"
    judge(store, "b", number, 1, 3, 2, 4, safety=(1, 1, 1, 4))
    assert store.item_row(number)["state"] == "agreed"
    (outcome,) = store.outcomes()
    assert outcome.item == store.item(number) and outcome.decided_by == ""
    assert outcome.ranks["professionalism"] == (1, 2, 2, 4)  # the pair that they reverse ties
    assert outcome.final == (1, 2, 2, 4)  # a alone sees a difference in safety of the two, and b reverses it after all


@pytest.mark.parametrize(
    ("ranks", "reason"),
    [
        ({"safety": (2, 1, 3, 4)}, "safety"),
        ({"professionalism": (4, 3, 2, 1), "safety": (1, 1, 1, 1)}, "order"),
        ({"professionalism": (1, 2, 4, 3), "safety": (1, 1, 1, 1)}, ""),  # tau-b = 2/3: on the limit
    ],
)
def test_the_rule_of_disagreement_sends_items_to_the_expert(store, ranks, reason):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    judge(store, "b", number, **{"safety": (1, 2, 3, 4), "professionalism": (1, 2, 3, 4), "fluency": (1,) * 4} | ranks)
    row = store.item_row(number)
    assert (row["state"], row["reason"]) == ("disputed" if reason else "agreed", reason)


def test_the_expert_decides_and_reopening_keeps_the_trail(store):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    judge(store, "b", number, 4, 3, 2, 1)
    assert opened(store, "x") == number
    assert next_item(store, user(store, "y")) is None  # one expert is enough
    act(store, "x", "skip", number, {"reason": "不懂"})  # and passes it on, or comes back to it
    act(store, "x", "decide", number, {"judgement": judgement(2, 1, 3, 3), "reason": "因为"})
    with pytest.raises(Conflict, match="decided"):
        judge(store, "a", number, 4, 3, 2, 1)
    act(store, "y", "reopen", number, {"reason": "再看"})
    assert opened(store, "y") == number
    act(store, "y", "decide", number, {"judgement": judgement(3, 3, 2, 1), "reason": "同意"})
    (outcome,) = store.outcomes()
    assert outcome.final == (3, 3, 2, 1) and outcome.decided_by == user(store, "y").pseudonym
    assert [name for name, _ in outcome.judgements] == ["P01", "P02", "P05"]
    kinds = [row[0] for row in store.db.execute("SELECT kind FROM events WHERE item = ? ORDER BY id", (number,))]
    assert kinds == ["item", *["open"] * 2, *["judge"] * 2, "open", "skip", "decide", "reopen", "open", "decide"]
    with pytest.raises(Refused, match="reopened"):
        act(store, "a", "reopen", number, {"reason": "我"})


def test_who_gets_another_role_neither_decides_on_an_own_ranking_nor_keeps_a_seat(store):
    """Else the decision would stand in place of the ranking, and a seat that nobody can use would stay taken."""
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    judge(store, "b", number, 4, 3, 2, 1)
    assert opened(store, "x") == number
    begun = opened(store, "a")
    store.set_user("a", "expert")
    store.set_user("x", "annotator")
    before = table(store, "seats")
    for name, kind in (("a", "decide"), ("x", "judge"), ("x", "draft")):
        with pytest.raises(Refused, match="not with this user"):
            act(store, name, kind, number, {"judgement": judgement(2, 1, 3, 3), "reason": "因为"})
    assert table(store, "seats") == before
    assert opened(store, "y") == number and opened(store, "b", "c") == begun
    act(store, "y", "decide", number, {"judgement": judgement(2, 1, 3, 3), "reason": "因为"})  # control


def test_an_item_that_another_has_begun_comes_first_whatever_waits_elsewhere(tmp_path):
    store = project(tmp_path, 9, departments=("内科", "内科", "皮肤科"))
    store.set_user("a", "annotator", ("皮肤科",))
    begun = opened(store, "a")
    assert store.item_row(begun)["department"] == "皮肤科"
    assert opened(store, "b") == begun
    assert store.item_row(opened(store, "c"))["department"] == "内科"  # control: there more waits


def test_what_is_saved_survives_a_power_loss(store):
    assert store.db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL: each commit reaches the disk


def test_a_page_from_before_a_decision_does_not_reopen_it(store):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    judge(store, "b", number, 4, 3, 2, 1)
    opened(store, "x")
    act(store, "x", "decide", number, {"judgement": judgement(1, 2, 3, 4), "reason": "因为"})
    shown = store.item_row(number)["updated"]
    act(store, "admin", "reopen", number, {"reason": "再看"}, shown)
    opened(store, "x")
    act(store, "x", "decide", number, {"judgement": judgement(4, 3, 2, 1), "reason": "因为"})
    with pytest.raises(Conflict, match="newer state"):
        act(store, "y", "reopen", number, {"reason": "再看"}, shown)
    assert [outcome.final for outcome in store.outcomes()] == [(4, 3, 2, 1)]


@pytest.mark.parametrize("begun", [False, True], ids=["empty", "without settings"])
def test_a_first_import_that_broke_off_is_begun_again(tmp_path, begun):
    """On a full disk, or by a kill."""
    path = tmp_path / "ranking.db"
    path.touch()
    if begun:
        connect(path, create=True).close()
    for _ in range(2):
        assert Store(path, create=Settings(seed=3)).settings == Settings(seed=3)
    assert Store(path).last_event() == 1


def test_a_restored_backup_is_a_project_that_many_can_use(store, tmp_path):
    store.backup(tmp_path / "copy.db")
    copy = Store(tmp_path / "copy.db")
    assert copy.last_event() == store.last_event()
    assert copy.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert {stat.S_IMODE(one.path.stat().st_mode) for one in (store, copy)} == {0o600}  # for its owner alone
    with pytest.raises(ValueError, match="--out .*none is not there"):
        store.backup(tmp_path / "none/copy.db")


def test_a_correction_counts_until_the_expert_has_decided(store):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    judge(store, "b", number, 4, 3, 2, 1)
    opened(store, "x")
    seen = store.version(number, user(store, "x"))
    judge(store, "b", number, 1, 2, 3, 4)
    assert store.item_row(number)["state"] == "agreed"
    assert next_item(store, user(store, "x")) is None  # although the expert has opened it
    with pytest.raises(Conflict, match="no longer disputed"):
        act(store, "x", "decide", number, {"judgement": judgement(1, 2, 3, 4), "reason": "因为"}, seen)
    judge(store, "b", number, 4, 3, 2, 1)
    with pytest.raises(Conflict, match="newer"):  # disputed again, but not as the expert has seen it
        act(store, "x", "decide", number, {"judgement": judgement(1, 2, 3, 4), "reason": "因为"}, seen)


def test_skipping_passes_the_seat_on_and_flagging_calls_the_expert(store):
    number = opened(store, "a", "b")
    act(store, "a", "skip", number, {"reason": "不懂"})
    assert next_item(store, user(store, "c")) == number and next_item(store, user(store, "a")) != number
    assert store.item_row(number)["state"] == "open"
    act(store, "c", "flag", number, {"reason": "危险"})
    assert (store.item_row(number)["state"], store.item_row(number)["reason"]) == ("disputed", "flag")
    judge(store, "c", number, 1, 2, 3, 4)  # the flag is taken back
    assert store.item_row(number)["state"] == "open"
    act(store, "b", "skip", number, {"reason": "不懂"})
    assert (store.item_row(number)["state"], store.item_row(number)["reason"]) == ("disputed", "skip")
    assert last_judged(store, user(store, "c")) == number


def test_an_item_that_nobody_may_finish_is_counted(store):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    act(store, "b", "skip", number, {"reason": "不懂"})
    assert stuck(store) == 0  # c may take it
    store.set_user("c", "annotator", departments=("内科",))
    assert stuck(store) == 1
    store.set_user("c", "annotator", active=False)
    assert stuck(store) == 1 and store.item_row(number)["seats_left"] == 1


def test_a_correction_that_was_begun_comes_back_until_it_is_submitted(store):
    number, person = opened(store, "a"), user(store, "a")
    judge(store, "a", number, 1, 2, 3, 4)
    other = next_item(store, person) or 0
    act(store, "a", "draft", number, {"judgement": judgement(4, 3, 2, 1)})
    judge(store, "a", other, 1, 2, 3, 4)
    assert next_item(store, person) == number
    judge(store, "a", number, 4, 3, 2, 1)
    assert next_item(store, person) not in (number, other)


def test_open_items_of_one_who_left_go_to_others(store):
    number = opened(store, "a", "b")
    with pytest.raises(Refused, match="admin"):
        store.release(user(store, "a"), "b", "client-1")
    store.release(user(store, "admin"), "a", "client-2")
    assert opened(store, "c") == number
    with pytest.raises(Refused, match="not with this user"):
        judge(store, "a", number, 1, 2, 3, 4)
    store.set_user("b", "annotator", active=False)
    assert store.item_row(number)["seats_left"] == 1


def test_a_request_that_is_repeated_does_nothing_twice(store):
    number, person = opened(store, "a"), user(store, "a")
    version, body = store.version(number, person), {"judgement": judgement(1, 2, 3, 4)}
    first = store.act(person, "judge", number, version, "client-1", body)
    assert store.act(person, "judge", number, version, "client-1", body) == first == store.last_event()
    with pytest.raises(Conflict, match="another action"):
        store.act(person, "skip", number, version, "client-1", {"reason": "x"})
    with pytest.raises(Conflict, match="newer"):  # control: without its id it is an old page's request
        store.act(person, "judge", number, version, "client-2", body)


@pytest.mark.parametrize(
    ("name", "kind"), [("b", "judge"), ("x", "judge"), ("x", "decide"), ("a", "decide"), ("admin", "judge")]
)
def test_nobody_acts_on_what_is_not_theirs(store, name, kind):
    number = opened(store, "a")
    before = store.last_event()
    with pytest.raises(Refused):
        act(store, name, kind, number, {"judgement": judgement(1, 2, 3, 4), "reason": "x"})
    with pytest.raises(Refused, match="one of this project"):
        act(store, name, kind, 999, {"judgement": judgement(1, 2, 3, 4), "reason": "x"})
    assert store.last_event() == before


# ---- sharing out


def test_items_go_to_two_people_of_their_departments(tmp_path):
    departments = ("皮肤科", "内科", "儿科")
    store = project(tmp_path, 30, departments=departments)
    store.set_user("a", "annotator", departments=("皮肤科",))
    store.set_user("b", "annotator", departments=("皮肤科", "内科"))
    given: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    busy = True
    while busy:
        busy = False
        for name, numbers in given.items():
            number = next_item(store, user(store, name))
            if number is not None:
                busy = True
                assert opened(store, name) == number  # one comes back where one was
                numbers.append(number)
                judge(store, name, number, 1, 2, 3, 4)
    place = {name: [store.item(n).prompt.department for n in numbers] for name, numbers in given.items()}
    assert all(len(set(numbers)) == len(numbers) for numbers in given.values())  # nobody sees one twice
    assert set(place["a"]) == {"皮肤科"} and set(place["b"]) == {"皮肤科", "内科"}
    counts = [row[0] for row in store.db.execute("SELECT count(*) FROM seats GROUP BY item")]
    assert max(counts) == 2
    states = dict(store.db.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall())
    assert states == {"agreed": 20, "open": 10}  # paediatrics has one annotator alone
    half = sum(store.item_row(n)["source"] == "training" for n in given["c"][:10])
    assert 2 <= half <= 8  # both sources come up from the beginning


def test_random_work_derives_to_the_same_tables(tmp_path):
    """Whatever six people do, the tables are what the events say, and an item has at most two annotators."""
    rng = random.Random(7)
    store = project(tmp_path, 30)
    for _ in range(250):
        name = rng.choice("aabbccxy")
        number = next_item(store, user(store, name))
        if number is None or rng.random() < 0.2:
            number = rng.randrange(1, 31)
        ranks = rng.choice(((1, 2, 3, 4), (1, 2, 3, 4), (4, 2, 1, 1)))
        kind = rng.choice(("draft", *["judge"] * 9, *["decide"] * 3, "skip", "flag", "reopen"))
        try:
            act(store, name, kind, number, {"judgement": judgement(*ranks), "reason": "x"})
        except (Refused, Conflict):
            continue
    seats = "SELECT sum(state IN ('open', 'judged')) FROM seats WHERE role = 'annotator' GROUP BY item"
    assert max(row[0] for row in store.db.execute(seats)) == 2
    states = {row[0] for row in store.db.execute("SELECT DISTINCT state FROM items")}
    assert states == {"open", "agreed", "disputed", "decided"}  # else nothing was tried
    before = {name: table(store, name) for name in TABLES}
    store.db.execute("PRAGMA user_version = 0")
    again = Store(store.path)
    assert {name: table(again, name) for name in TABLES} == before
    store.db.execute("UPDATE seats SET state = 'open' WHERE state = 'judged'")  # control: the comparison sees a change
    assert table(store, "seats") != before["seats"]


# ---- nothing is lost


def test_events_can_neither_be_changed_nor_removed(store):
    for statement in ("UPDATE events SET body = '{}'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store.db.execute(statement)


def test_many_threads_lose_nothing(tmp_path):
    store = project(tmp_path, 40)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            while (number := next_item(store, user(store, name))) is not None:
                judge(store, name, number, 1, 2, 3, 4)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures
    assert dict(store.db.execute("SELECT state, count(*) FROM items GROUP BY state").fetchall()) == {"agreed": 40}
    assert store.db.execute("SELECT count(*) FROM events WHERE kind = 'judge'").fetchone()[0] == 80


WRITER = """
import os, sys
from tests.feedback.project import judgement, user
from zj.feedback.project.store import Store
store, number = Store(sys.argv[1]), int(sys.argv[2])
person = user(store, "a")
for n in range(10**6):
    body = {"judgement": judgement(1, 2, 3, 4, notes=str(n))}
    print(store.act(person, "draft", number, store.version(number, person), f"{os.getpid()}-{n}", body), flush=True)
"""


def test_what_was_answered_survives_a_kill(store):
    number, saved = opened(store, "a"), []
    for attempt in range(3):
        command = [sys.executable, "-c", WRITER, str(store.path), str(number)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.05 + 0.05 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        saved += [int(line) for line in [first, *writer.stdout.read().split("\n")] if line.strip()]
        writer.wait()
    events = [row[0] for row in store.db.execute("SELECT id FROM events WHERE kind = 'draft'")]
    assert len(saved) > 3 and set(saved) <= set(events) and len(set(saved)) == len(saved)
    assert len(events) - len(saved) <= 3  # at most the one that was written and not yet answered, each time
    assert store.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_backup_is_the_project_of_one_moment(store, tmp_path):
    number = opened(store, "a", "b")
    judge(store, "a", number, 1, 2, 3, 4)
    store.backup(tmp_path / "copy.db")
    judge(store, "b", number, 1, 2, 3, 4)
    copy = Store(tmp_path / "copy.db")
    assert copy.item_row(number)["state"] == "open" and copy.user("a") == store.user("a")
    judge(copy, "b", number, 1, 2, 3, 4)
    assert list(copy.outcomes()) == list(store.outcomes())
    with pytest.raises(ValueError, match="--out .*copy.db: is there already"):
        store.backup(tmp_path / "copy.db")


# ---- import


def test_an_item_is_added_once(store):
    assert store.add_items(items(6)) == (2, 4)
    same = [Candidates("other", items(1)[0].prompt, items(1)[0].answers)]
    assert store.add_items(same) == (0, 1)  # the same question and answers under another id
    other = [Candidates("i0", Prompt("i0", "别的题？"), ("一", "二"), where="f.jsonl:3")]
    before = store.last_event()
    with pytest.raises(ValueError, match=r"f.jsonl:3: found id 'i0', which another item has"):
        store.add_items([*items(9)[6:], *other])
    assert store.last_event() == before  # all of an import, or nothing
    many = [Candidates("many", Prompt("many", "题？"), tuple(map(str, range(9))), where="f.jsonl:1")]
    with pytest.raises(ValueError, match="found 9 answers, expected 2 to 8"):
        store.add_items(many)


def test_imported_rankings_are_one_persons_judgements(tmp_path):
    store = Store(tmp_path / "one.db", create=Settings(annotators=1))
    store.set_user("tool", "annotator", active=False)
    store.add_items(items(2), "tool", [(2, 1, 4, 3), (1, 1, 3, 3)])
    assert [outcome.final for outcome in store.outcomes()] == [(2, 1, 4, 3), (1, 1, 3, 3)]
    with pytest.raises(ValueError, match="ranked by tool already"):
        store.add_items(items(1), "tool", [(1, 2, 3, 4)])


def test_a_file_of_another_program_is_refused_by_the_flag(tmp_path):
    with pytest.raises(ValueError, match="--db .*none.db: is not there"):
        Store(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("no database, but long enough to be read as one" * 10)
    with pytest.raises(ValueError, match="--db .*text.db: file is not a database"):
        Store(tmp_path / "text.db")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)")
    with pytest.raises(ValueError, match="--db .*other.db: is a database of another program"):
        Store(tmp_path / "other.db", create=Settings())
