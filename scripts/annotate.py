"""Doctors rank answers in a browser: import items, serve the pages, export rankings (Zhongjing, "Human Feedback").

python scripts/annotate.py import --db ranking.db --data candidates.jsonl
python scripts/annotate.py user --db ranking.db --name wang --role annotator --departments 皮肤科 内科
python scripts/annotate.py serve --db ranking.db
python scripts/annotate.py agreement --db ranking.db
python scripts/annotate.py export --db ranking.db --out rankings/
python scripts/annotate.py backup --db ranking.db --out copy.db
python scripts/annotate.py serve --demo      (synthetic items, to look at it)
"""

from __future__ import annotations

import getpass
import ipaddress
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from zj import NOTICE, SYNTHETIC
from zj.cli import check_range, run_command
from zj.cli.command import Command
from zj.clinic.ranking import ANSWERS
from zj.data.readers import read
from zj.data.records import Candidates
from zj.feedback.answers.demo import demo_items, demo_prompts
from zj.feedback.answers.sampling import Answer, items_of
from zj.feedback.project.events import snapshot
from zj.feedback.project.passwords import hash_password
from zj.feedback.project.progress import by_department
from zj.feedback.project.store import Role, Settings, Store, User
from zj.feedback.ranking.agreement import table
from zj.feedback.ranking.export import export

DEMO = "runs/ranking-demo.db"
DEMO_ITEMS, DEMO_TOKENS = 40, 160  # questions, and tokens of the longest answer of a model
DEMO_USERS = (("doctor-1", "annotator"), ("doctor-2", "annotator"), ("expert", "expert"), ("admin", "admin"))


@dataclass(frozen=True)
class Import:
    db: str = ""  # file of the project; the first import makes it
    data: tuple[str, ...] = ()  # files or directories of candidates (scripts/sample_answers.py), or of rankings
    annotator: str = ""  # the files hold rankings, and they are this annotator's (a tool's or a model's name)
    ranking_tool_input: str = ""  # input file of the published ranking tool, which restores the order of its table
    annotators: int | None = None  # people who judge each item, blind; fixed by the first import (none: 2, or as it is)
    min_tau: float | None = None  # Kendall's tau-b below which two disagree; fixed as well (none: 2/3, or as it is)
    seed: int | None = None  # of the orders on the screens; fixed as well (none: 0, or as it is)
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read


@dataclass(frozen=True)
class Serve:
    db: str = ""  # file of the project
    host: str = "127.0.0.1"  # address to listen on; another one than this machine's own is open to the network
    port: int = 8765  # TCP port
    hosts: tuple[str, ...] = ()  # names by which browsers address it, beside localhost and --host
    demo: bool = False  # synthetic items of the clinic and four users, made in --db (none: runs/ranking-demo.db)
    model: str = ""  # for --demo: directory of a model that answers (none: the clinic does, with faults)


@dataclass(frozen=True)
class Export:
    db: str = ""  # file of the project
    out: str = ""  # new directory for rankings, pairs, rewrites, judgements and the manifest


@dataclass(frozen=True)
class Agreement:
    db: str = ""  # file of the project
    departments: bool = False  # a table by department, too


@dataclass(frozen=True)
class ChangeUser:
    db: str = ""  # file of the project
    name: str = ""  # of the user to add or to change (none: list the users)
    role: Role | None = None  # judges; decides on disputes; sees and reopens (none: the one they have, or annotator)
    departments: tuple[str, ...] | None = None  # whose items they are given; without X all (none: as they are, or all)
    active: bool = True  # --no-active: cannot log in, open items go to others
    keep_password: bool = False  # change role and departments alone


@dataclass(frozen=True)
class Backup:
    db: str = ""  # file of the project; others may go on working
    out: str = ""  # new file


def import_items(config: Import) -> None:
    if not config.db or not config.data:
        raise ValueError(f"--{'data' if config.db else 'db'} is missing")
    given = {key: getattr(config, key) for key in asdict(Settings()) if getattr(config, key) is not None}
    for name, (low, high) in {"annotators": (1, 9), "min_tau": (-1, 1)}.items():
        if name in given:
            check_range(config, name, low, high)
    items, ranks = read_items(config)
    Path(config.db).parent.mkdir(parents=True, exist_ok=True)
    store = Store(config.db, create=Settings(**given))
    for name, value in asdict(store.settings).items():
        if given.get(name, value) != value:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} is {given[name]}, but {config.db} began with {value}, and this cannot change")
    if config.annotator and store.user(config.annotator) is None:
        store.set_user(config.annotator, "annotator", active=False)
    added, known = store.add_items(items, config.annotator, ranks)
    print(f"{config.db}: {added:,} items added, {known:,} are there already")
    print_items(store)


def read_items(config: Import) -> tuple[list[Candidates], list[tuple[int, ...]]]:
    """The items of the files and, if they are an annotator's rankings, the ranks of each."""
    if not config.annotator:
        if config.ranking_tool_input:
            raise ValueError("--ranking-tool-input restores rankings: expected --annotator NAME, whose they are")
        items, report = read(config.data, "candidates", config.on_bad_row, "once")
        print(report)
        return items, []
    rankings, report = read(config.data, "ranking", config.on_bad_row, "once", config.ranking_tool_input)
    print(report)
    items = [Candidates(row.id, row.prompt, row.answers, where=row.where) for row in rankings]
    return items, [row.ranks for row in rankings]


def print_items(store: Store) -> None:
    for row in by_department(store)[:-1]:
        print(f"  {row['name'] or '-'}: {row['open']:,} open, {row['agreed'] + row['decided']:,} done")


def serve(config: Serve) -> None:
    import uvicorn

    from zj.feedback.web.app import make_app

    check_range(config, "port", 1, 65535)
    if config.model and not config.demo:
        raise ValueError("--model answers the questions of --demo: expected both (other answers: sample_answers.py)")
    store = make_demo(config.db or DEMO, config.model) if config.demo else open_store(config.db)
    if not any(user.password for user in store.users()):
        raise ValueError(f"--db {config.db}: nobody can log in yet; add users with annotate.py user --db {config.db}")
    local = config.host == "localhost" or is_loopback(config.host)
    if not local and not config.hosts:
        raise ValueError(f"--host {config.host} is open to the network: --hosts has to name its address")
    app = make_app(store, ("localhost", "127.0.0.1", config.host, *config.hosts))
    print(
        f"http://{config.hosts[0] if config.hosts else 'localhost'}:{config.port}   (Ctrl-C ends it)\n{NOTICE}",
        flush=True,
    )
    if not local:
        print("passwords travel in clear text: put a server with TLS in front of it", file=sys.stderr)
    uvicorn.run(app, host=config.host, port=config.port, log_level="warning", access_log=False, server_header=False)


def make_demo(path: str, model: str) -> Store:
    """A project with synthetic items, or the one that is there; its users get a new password, which is printed."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    store = Store(path, create=Settings())
    if store.last_event() > 1 and store.user(DEMO_USERS[0][0]) is None:  # what is in a project stays there
        raise ValueError(f"--db {path}: is a project of its own, expected a new file for --demo, or an earlier demo's")
    items = demo_items(DEMO_ITEMS, seed=0) if not model else answered_by(model)
    print("{} items added, {} are there already".format(*store.add_items(items)))
    password = secrets.token_urlsafe(6)
    for name, role in DEMO_USERS:
        store.set_user(name, role, password=hash_password(password))  # type: ignore[arg-type]
    print(f"{SYNTHETIC}\nlog in as {', '.join(name for name, _ in DEMO_USERS)}; password: {password}")
    return store


def answered_by(folder: str) -> list[Candidates]:
    """The demo's questions with four different answers of a model to each."""
    import torch

    from zj.inference.engine import Sampling
    from zj.llm.answers import check_chat_model, encode_prompts, load_chat_model, sample, seed_of

    check_chat_model(folder, "--model", DEMO_TOKENS)
    chat = load_chat_model(folder, "--model", torch.float32, torch.device("cpu"))
    asked = [replace(one, reference="") for one in demo_prompts(DEMO_ITEMS, seed=0)]
    room = chat.model.config.max_position_embeddings - DEMO_TOKENS
    ids = encode_prompts([one.prompt for one in asked], chat.tokenizer, chat.template, room)

    def answers(prompts: list[int], attempt: int) -> Sequence[Answer]:
        given = {"max_new_tokens": DEMO_TOKENS, "seed": seed_of(0, 0, attempt), "slots": 32}
        return sample(chat, [ids[n] for n in prompts], Sampling(), **given)

    return items_of(asked, Path(folder).name, ANSWERS, 0, answers)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def export_rankings(config: Export) -> None:
    if not config.out:
        raise ValueError("--out is missing: a new directory")
    store = open_store(config.db)
    settings, out = store.settings, Path(config.out)
    with snapshot(store.db):
        facts = {"settings": asdict(settings), "last_event": store.last_event()}
        manifest = export(store.outcomes(), store.judged(), out, facts, settings.min_tau)
    for name, file in manifest["files"].items():
        print(f"{out / name}: {file['rows']:,} rows")
    print("; ".join(f"{number:,} {reason}" for reason, number in manifest["left_out"].items()))


def print_agreement(config: Agreement) -> None:
    store = open_store(config.db)
    judged = list(store.judged())
    if not judged:
        raise ValueError(f"--db {config.db}: no item has been judged by two annotators yet")
    print(table(judged, store.departments_of_judged() if config.departments else ()))


def change_user(config: ChangeUser) -> None:
    store = open_store(config.db)
    if not config.name:
        print("\n".join(map(describe, store.users())) or "no users yet")
        return
    known = store.user(config.name)
    if config.keep_password or not config.active:
        if known is None:
            raise ValueError(f"--name {config.name}: there is no such user")
        password = known.password
    else:
        password = hash_password(ask_password(config.name))
    role = config.role or (known.role if known else "annotator")
    departments = config.departments if config.departments is not None else known.departments if known else ()
    store.set_user(config.name, role, departments, password, config.active)
    if unknown := set(departments) - {row["name"] for row in by_department(store)}:
        print(f"no item is of the department {', '.join(sorted(unknown))} (yet)", file=sys.stderr)
    print(describe(store.user(config.name)))  # type: ignore[arg-type]


def ask_password(name: str) -> str:
    """From the terminal, twice; from the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"password of {name}: ")
    if getpass.getpass("once more: ") != password:
        raise ValueError("the two passwords differ")
    return password


def describe(user: User) -> str:
    state = "" if user.active and user.password else "  (cannot log in)"
    return f"{user.pseudonym}  {user.name}  {user.role}  {' '.join(user.departments) or 'all departments'}{state}"


def back_up(config: Backup) -> None:
    if not config.out:
        raise ValueError("--out is missing: the name of a new file")
    open_store(config.db).backup(Path(config.out))
    print(f"{config.out}: {Path(config.out).stat().st_size:,} bytes")


def open_store(db: str) -> Store:
    if not db:
        raise ValueError("--db is missing: the file that annotate.py import wrote")
    return Store(db)


COMMANDS: dict[str, Command] = {
    "import": (import_items, Import),
    "serve": (serve, Serve),
    "export": (export_rankings, Export),
    "agreement": (print_agreement, Agreement),
    "user": (change_user, ChangeUser),
    "backup": (back_up, Backup),
}

if __name__ == "__main__":
    run_command(COMMANDS)
