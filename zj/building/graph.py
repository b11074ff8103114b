"""A knowledge graph of drugs and illnesses in SQLite, made once of JSON lines as CMeKG's, or of the clinic's facts.

    {"entity": "布洛芬片", "relations": {"适应症": ["发热"], "禁忌": ["孕妇"]}}

Table `triples` holds the graph as it is, `names` the words by which drugs and illnesses are looked for in texts.
"""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DRUGS
from zj.data.json_rows import json_rows
from zj.data.text import read_bytes, read_text

CLINIC = "clinic"  # stands for a file: the clinic's own facts
LONGEST_NAME = 30  # characters
Triple = tuple[str, str, str]
_TABLES = """
CREATE TABLE triples (subject TEXT, relation TEXT, object TEXT);
CREATE TABLE names (name TEXT, kind TEXT, entity TEXT, UNIQUE (name, kind, entity));
CREATE TABLE source (file TEXT, bytes INTEGER, rules TEXT);
"""
_INDEXES = """
CREATE INDEX by_subject ON triples (subject, relation);
CREATE INDEX by_object ON triples (object, relation);
"""


@cache
def words() -> dict[str, dict[str, Any]]:
    """check.toml."""
    return tomllib.loads(Path(__file__).with_name("check.toml").read_text(encoding="utf-8"))


class Graph:
    """Questions to the database. A name may stand for several entities: one drug in several forms."""

    def __init__(self, database: Path) -> None:
        self.connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self.names: dict[str, set[str]] = {}  # name -> kinds: "drug", "illness", "circumstance"
        for name, kind in self.connection.execute("SELECT DISTINCT name, kind FROM names"):
            self.names.setdefault(name, set()).add(kind)

    @cache  # noqa: B019, a graph lives as long as the process
    def entities(self, name: str, kind: str) -> tuple[str, ...]:
        rows = self.connection.execute("SELECT entity FROM names WHERE name = ? AND kind = ?", (name, kind))
        return tuple(sorted(entity for (entity,) in rows))

    @cache  # noqa: B019
    def uses(self, drug: str) -> tuple[Triple, ...]:
        """What a drug of this name is for, by its own relations and by those of illnesses."""
        graph, entities = words()["graph"], self.entities(drug, "drug")
        own = self._triples("subject", entities, graph["uses"])
        return own + self._triples("object", {drug, *entities}, graph["drugs"])

    @cache  # noqa: B019
    def against(self, drug: str) -> tuple[Triple, ...]:
        """Who must not take a drug of this name."""
        return self._triples("subject", self.entities(drug, "drug"), words()["graph"]["against"])

    def _triples(self, column: str, entities: Iterable[str], relations: list[str]) -> tuple[Triple, ...]:
        sql = f"SELECT * FROM triples WHERE {column} = ? AND relation IN ({','.join('?' * len(relations))})"
        return tuple(row for entity in sorted(entities) for row in self.connection.execute(sql, (entity, *relations)))


def open_graph(source: str, database: Path) -> Graph:
    """The graph of a file, or of the clinic: from the database, which is made if it is not there.

    ValueError if the file has no triples of drugs, or if the database was made of another file.
    """
    rules = blake2b(repr([words()["graph"], words()["circumstances"]]).encode(), digest_size=8).hexdigest()
    key = (source, 0 if source == CLINIC else len(data := _bytes(Path(source))), rules)
    if not database.exists():
        rows = clinic_rows() if source == CLINIC else _rows(Path(source), data)
        database.parent.mkdir(parents=True, exist_ok=True)
        _make(database, rows, key)
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        if (found := connection.execute("SELECT * FROM source").fetchone()) != key:
            found_in = f"made of {found[0]}, expected {source} as it is, and today's check.toml"
            raise ValueError(f"--database {database}: {found_in}; remove it or name another")
    return Graph(database)


def _make(database: Path, rows: Iterable[dict[str, Any]], key: tuple[str, int, str]) -> None:
    draft = database.with_name(f".tmp-{database.name}")
    draft.unlink(missing_ok=True)
    connection = sqlite3.connect(draft)
    connection.executescript(_TABLES)
    triples = (
        (row["entity"], name, value) for row in rows for name, values in row["relations"].items() for value in values
    )
    connection.executemany("INSERT INTO triples VALUES (?, ?, ?)", triples)
    connection.executescript(_INDEXES)
    connection.executemany("INSERT OR IGNORE INTO names VALUES (?, ?, ?)", _names(connection))
    connection.execute("INSERT INTO source VALUES (?, ?, ?)", key)
    connection.commit()
    if not connection.execute("SELECT 1 FROM names WHERE kind = 'drug'").fetchone():
        raise ValueError(f"--graph {key[0]}: found no drug, expected relations such as {words()['graph']['uses'][0]}")
    connection.close()
    draft.replace(database)


def _names(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """(name, kind, entity) of all that is looked for in texts. Drugs of two characters are parts of other words."""
    graph = words()["graph"]

    def of(column: str, *keys: str) -> set[str]:
        relations = [relation for key in keys for relation in graph[key]]
        sql = f"SELECT DISTINCT {column} FROM triples WHERE relation IN ({','.join('?' * len(relations))})"
        return {value for (value,) in connection.execute(sql, relations)}

    def aliases(key: str) -> dict[str, list[str]]:
        sql = f"SELECT subject, object FROM triples WHERE relation IN ({','.join('?' * len(graph[key]))})"
        found: dict[str, list[str]] = {}
        for subject, name in connection.execute(sql, graph[key]):
            found.setdefault(subject, []).append(name)
        return found

    drugs = of("subject", "is_drug") - of("subject", "not_drug")
    illnesses = of("subject", "is_illness") - drugs - set(graph["not_illness"])
    not_names = of("object", "not_names") | set(graph["not_drug_names"])
    drug_names, illness_names = aliases("drug_names"), aliases("illness_names")
    names = [
        (name, "drug", drug)
        for drug in drugs
        for full in (drug, *drug_names.get(drug, ()))
        for name in {full, without_form(full)}
        if name == full or name not in not_names
    ]
    names += [(name, "illness", entity) for entity in illnesses for name in (entity, *illness_names.get(entity, ()))]
    phrases = [(name, text) for name, texts in words()["circumstances"].items() for text in texts]
    phrases += connection.execute("SELECT subject, object FROM triples WHERE relation = '说法'").fetchall()
    names += [(text, "circumstance", name) for name, text in phrases]
    return [row for row in names if (3 if row[1] == "drug" else 2) <= len(row[0]) <= LONGEST_NAME]


def without_form(drug: str) -> str:
    """阿莫西林胶囊 → 阿莫西林; a name that would be too short stays."""
    for form in words()["graph"]["forms"]:
        if drug.endswith(form) and len(drug) - len(form) >= 2:
            return drug.removesuffix(form)
    return drug


def _bytes(file: Path) -> bytes:
    try:
        return read_bytes(file)
    except ValueError as error:
        raise ValueError(str(error).replace("--data", "--graph", 1)) from None


def _rows(file: Path, data: bytes) -> Iterator[dict[str, Any]]:
    for line, row in json_rows(read_text(file, data)[0], file):
        if not isinstance(row, dict) or not isinstance(row.get("relations"), dict):
            raise ValueError(f'{file}:{line}: expected {{"entity": "…", "relations": {{"…": ["…"]}}}}')
        yield row


def clinic_rows() -> Iterator[dict[str, Any]]:
    """The clinic's drugs, illnesses and circumstances as rows of a graph."""
    for drug in DRUGS.values():
        uses = [condition.name for condition in CONDITIONS.values() if drug.name in condition.drugs]
        yield {
            "entity": drug.name,
            "relations": {"适应症": uses, "禁忌": list(drug.forbidden), "药品类型": [drug.kind]},
        }
    for condition in CONDITIONS.values():
        yield {"entity": condition.name, "relations": {"就诊科室": [condition.department]}}
    for circumstance in CIRCUMSTANCES.values():
        phrases = [circumstance.name, *circumstance.said, *(text.replace("，", " ") for text in circumstance.said)]
        yield {"entity": circumstance.name, "relations": {"说法": phrases}}
