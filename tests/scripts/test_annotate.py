"""scripts/annotate.py from imported items to files that are trained on."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from itertools import permutations

import pytest

pytest.importorskip("starlette", reason="needs the extra [annotate]")

from starlette.testclient import TestClient

from tests.feedback.project import items, judge, user
from zj.data.readers import read
from zj.data.records import as_json
from zj.feedback.project.passwords import verify_password
from zj.feedback.project.scheduler import next_item
from zj.feedback.project.store import Store


@pytest.fixture
def candidates(tmp_path):
    file = tmp_path / "candidates.jsonl"
    file.write_text("".join(json.dumps(as_json(item), ensure_ascii=False) + "\n" for item in items(6)), "utf-8")
    return file


@pytest.fixture
def password(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n" * 9))


def test_from_candidates_to_rankings(command, candidates, tmp_path, password):
    db, out = tmp_path / "project/ranking.db", tmp_path / "rankings"
    done = command("annotate", "import", "--db", db, "--data", candidates)
    assert done.status == 0 and "6 items added, 0 are there already" in done.out and "皮肤科: 6 open" in done.out
    again = command("annotate", "import", "--db", db, "--data", candidates)
    assert "0 items added, 6 are there already" in again.out
    for name, role in (("wang", "annotator"), ("li", "annotator"), ("zhang", "expert")):
        added = command("annotate", "user", "--db", db, "--name", name, "--role", role)
        assert added.status == 0 and f"{name}  {role}  all departments" in added.out
    store = Store(db)
    assert verify_password("correct horse", user(store, "wang").password)
    assert "no item has been judged by two" in command("annotate", "agreement", "--db", db).err
    for _ in range(5):
        number = next_item(store, user(store, "wang")) or 0
        assert next_item(store, user(store, "li")) == number
        for name in ("wang", "li"):
            judge(store, name, number, 4, 2, 3, 1, safety=(2, 1, 1, 1))
    done = command("annotate", "agreement", "--db", db, "--departments")
    assert "皮肤科" in done.out and "1.000" in done.out and "P01 P02" in done.out
    done = command("annotate", "export", "--db", db, "--out", out)
    assert done.status == 0 and "rankings.jsonl: 5 rows" in done.out
    rankings, _ = read(out / "rankings.jsonl", "ranking")
    for ranking in rankings:
        number = int(ranking.id[1:])
        assert ranking.ranks == (4, 2, 3, 1) and ranking.answers[3] == f"第{number}题的回答3。"
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["annotators"] == {"P01": 5, "P02": 5} and manifest["facts"]["settings"]["annotators"] == 2
    assert "wang" not in "".join(file.read_text("utf-8") for file in out.iterdir())
    done = command("annotate", "backup", "--db", db, "--out", tmp_path / "copy.db")
    assert done.status == 0 and len(list(Store(tmp_path / "copy.db").outcomes())) == 5


def test_the_published_tools_24_orders_are_restored(command, tmp_path):
    """Its table holds the inverse permutation; read as it stands (the control), 14 of 24 orders are wrong."""
    questions, table, truth = {}, ["id\tquery\thistory\trank1\trank2\trank3\trank4"], {}
    for n, ranks in enumerate(permutations((1, 2, 3, 4))):
        answers = [f"第{n}题答{k}。" for k in range(4)]
        questions[str(n)] = {"query": f"第{n}题？", "history": []} | {f"response_{k}": a for k, a in enumerate(answers)}
        table.append("\t".join([str(n), f"第{n}题？", "[]", *(answers[rank - 1] for rank in ranks)]))
        truth[str(n)] = dict(zip(answers, ranks, strict=True))
    (tmp_path / "input.json").write_text(json.dumps(questions, ensure_ascii=False), "utf-8")
    (tmp_path / "output.tsv").write_text("\n".join(table) + "\n", "utf-8")
    wrong = {}
    for name, flags in (("restored", ["--ranking-tool-input", tmp_path / "input.json"]), ("as-it-is", [])):
        db, out = tmp_path / f"{name}.db", tmp_path / name
        one = ["--annotators", 1, "--annotator", "old-tool", *flags]
        done = command("annotate", "import", "--db", db, "--data", tmp_path / "output.tsv", *one)
        assert done.status == 0 and "24 items added" in done.out
        assert command("annotate", "export", "--db", db, "--out", out).status == 0
        rankings, _ = read(out / "rankings.jsonl", "ranking")
        ranked = {r.id: dict(zip(r.answers, r.ranks, strict=True)) for r in rankings}
        wrong[name] = sum(ranked[id] != truth[id] for id in truth)
    assert wrong == {"restored": 0, "as-it-is": 14}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("import",), "--db is missing"),
        (("import", "--db", "DB"), "--data is missing"),
        (("import", "--db", "DB", "--data", "FILE", "--annotators", "3"), "--annotators is 3, but"),
        (("import", "--db", "DB", "--data", "FILE", "--min-tau", "2"), "--min-tau is 2.0, expected -1 to 1"),
        (("import", "--db", "DB", "--data", "FILE", "--ranking-tool-input", "x"), "expected --annotator NAME"),
        (("serve",), "--db is missing"),
        (("serve", "--db", "none.db"), "--db none.db: is not there"),
        (("serve", "--db", "DB"), "nobody can log in yet"),
        (("export", "--db", "DB"), "--out is missing"),
        (("backup", "--db", "DB"), "--out is missing"),
        (("user", "--db", "DB", "--name", "new", "--keep-password"), "--name new: there is no such user"),
        (("user", "--db", "DB", "--name", "x" * 65), "expected 1 to 64 printable characters"),
        (("user", "--db", "DB", "--name", "a\nb"), "expected 1 to 64 printable characters"),
        (("user", "--db", "DB", "--name", "wang "), "no blank at an end"),  # the door strips what is typed
        (("serve", "--db", "DB", "--port", "99999"), "--port is 99999, expected 1 to 65535"),
        (("serve", "--db", "DB", "--demo"), "is a project of its own"),  # whose users would get the demo's password
        (("backup", "--db", "DB", "--out", "none/copy.db"), "none is not there"),
    ],
)
def test_mistakes_are_one_line_that_names_the_flag(command, candidates, tmp_path, password, flags, message):
    db = tmp_path / "ranking.db"
    assert command("annotate", "import", "--db", db, "--data", candidates).status == 0
    names = {"DB": db, "FILE": candidates}
    done = command("annotate", *(names.get(flag, flag) for flag in flags))
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1


def test_what_is_not_said_of_a_user_stays(command, candidates, tmp_path, password):
    """A new password, or a user who is locked out and comes back, is no reason to lose a role."""
    db = tmp_path / "ranking.db"
    command("annotate", "import", "--db", db, "--data", candidates)
    change = ("annotate", "user", "--db", db, "--name", "zhang")
    assert "zhang  annotator  all departments" in command(*change).out
    assert "zhang  expert  内科" in command(*change, "--role", "expert", "--departments", "内科").out
    for flags in ((), ("--no-active",), ("--keep-password",)):
        assert "zhang  expert  内科" in command(*change, *flags).out
    assert "zhang  annotator  内科" in command(*change, "--role", "annotator").out
    assert "zhang  annotator  all departments" in command(*change, "--departments").out


def test_an_export_is_of_one_moment(command, candidates, tmp_path, monkeypatch):
    """Doctors go on while it is written."""
    db, out = tmp_path / "ranking.db", tmp_path / "rankings"
    command("annotate", "import", "--db", db, "--data", candidates)
    store = Store(db)
    for name in ("a", "b"):
        store.set_user(name, "annotator")

    def both_judge():
        for name in ("a", "b"):
            judge(store, name, next_item(store, user(store, name)) or 0, 1, 2, 3, 4)

    both_judge()
    last, read_last = store.last_event(), Store.last_event
    monkeypatch.setattr(Store, "last_event", lambda self: (read_last(self), both_judge())[0])
    assert command("annotate", "export", "--db", db, "--out", out).status == 0
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert read_last(store) > last == manifest["facts"]["last_event"]
    assert manifest["items"]["state"] == {"agreed": 1} and manifest["agreement"]["final"]["items"] == 1


def test_the_host_is_a_name_that_browsers_may_use(command, candidates, tmp_path, password, monkeypatch):
    db, apps = tmp_path / "ranking.db", []
    monkeypatch.setattr("uvicorn.run", lambda app, **given: apps.append(app))
    command("annotate", "import", "--db", db, "--data", candidates)
    command("annotate", "user", "--db", db, "--name", "wang")
    assert command("annotate", "serve", "--db", db, "--host", "127.0.0.2").status == 0
    asked = [TestClient(apps[0], f"http://{name}").get("/login").status_code for name in ("127.0.0.2", "evil.example")]
    assert asked == [200, 400]


def test_a_short_password_is_refused_and_the_network_has_to_be_named(command, candidates, tmp_path, monkeypatch):
    db = tmp_path / "ranking.db"
    command("annotate", "import", "--db", db, "--data", candidates)
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\nlong enough\n"))
    done = command("annotate", "user", "--db", db, "--name", "wang")
    assert done.status == 2 and "a password of 5 characters, expected at least 8" in done.err
    assert command("annotate", "user", "--db", db, "--name", "wang").status == 0
    done = command("annotate", "serve", "--db", db, "--host", "0.0.0.0")
    assert done.status == 2 and "--host 0.0.0.0 is open to the network: --hosts" in done.err
    done = command("annotate", "user", "--db", db, "--name", "wang", "--no-active")
    assert "(cannot log in)" in done.out
    assert sqlite3.connect(db).execute("SELECT count(*) FROM users").fetchone()[0] == 1
