"""scripts/claims.py: from results of seeds to tables and pictures, and its refusals."""

from __future__ import annotations

import json

import pytest

from scripts.claims import Config, main
from tests.eval.claims.results import write_exam

CLAIMS = """
[[claim]]
name = "helps"
system = "methods"
source = "s"
text = "t"
[[claim.measure]]
what = "gold score"
form = "exam"
metric = "score"
a = {file = "report.json", system = "new"}
b = {file = "FILE", system = "old"}
expected = "higher"
"""


def test_every_claim_gets_a_verdict(tmp_path, capsys):
    claims = CLAIMS.replace("FILE", "report.json") + CLAIMS.replace("FILE", "later.json").replace("helps", "later")
    (tmp_path / "claims.toml").write_text(claims)
    for seed in (6, 7):
        write_exam(tmp_path / f"seed-{seed}" / "report.json", {"old": 0.0, "new": 0.3}, seed=seed)
    config = Config(str(tmp_path), str(tmp_path / "claims.toml"), (6, 7), str(tmp_path / "out"))
    main(config)
    output = capsys.readouterr().out
    assert "not run yet: later\n2 claims: 1 confirmed, 1 not run yet" in output
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "claims.md",
        "claims.json",
        "helps.svg",
        "tables.md",
    }
    found = json.loads((tmp_path / "out" / "claims.json").read_text())["claims"][0]
    assert found["verdict"] == "confirmed" and [one["seed"] for one in found["measures"][0]["seeds"]] == [6, 7]
    assert "(out/claims.md#helps)" in (tmp_path / "out" / "tables.md").read_text()
    pages = [file.read_bytes() for file in sorted((tmp_path / "out").iterdir())]
    main(config)  # again: the same to the bit
    assert [file.read_bytes() for file in sorted((tmp_path / "out").iterdir())] == pages


def test_archives_take_the_place_of_the_runs(tmp_path, capsys):
    (tmp_path / "claims.toml").write_text(CLAIMS.replace("FILE", "report.json"))
    for seed in (6, 7):
        write_exam(tmp_path / f"seed-{seed}" / "report.json", {"old": 0.0, "new": 0.3}, seed=seed)
    whole = {"claims": str(tmp_path / "claims.toml"), "seeds": (6, 7)}
    kept = str(tmp_path / "kept")
    main(Config(**whole, runs=str(tmp_path), out=str(tmp_path / "a"), archive=kept))
    assert "seed-7.zip: all results" in capsys.readouterr().out
    main(Config(**whole, runs=kept, out=str(tmp_path / "again" / "a")))
    pages = [[file.read_bytes() for file in sorted((tmp_path / name).iterdir())] for name in ("a", "again/a")]
    assert pages[0] == pages[1] and len(pages[0]) == 4
    with pytest.raises(ValueError, match="seed-6.zip is there"):  # nothing is overwritten
        main(Config(**whole, runs=str(tmp_path), out=str(tmp_path / "a"), archive=kept))
    with pytest.raises(ValueError, match="no seed-8"):
        main(Config(**whole | {"seeds": (8,)}, runs=str(tmp_path), out=str(tmp_path / "a"), archive=kept))
    (tmp_path / "kept" / "seed-6.zip").write_text("no zip")
    with pytest.raises(ValueError, match="seed-6.zip: File is not a zip file"):
        main(Config(**whole, runs=kept, out=str(tmp_path / "b")))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"runs": ""}, "--runs is missing"),
        ({"seeds": ()}, "--seeds is missing"),
        ({"seeds": (6, 6)}, "--seeds 6 6: expected each once"),
        ({"runs": "/nowhere"}, "--runs /nowhere: no directory"),
    ],
)
def test_mistakes_name_the_flag(tmp_path, change, message):
    whole = {"runs": str(tmp_path), "claims": "recipes/claims.toml", "seeds": (6,), "out": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=message):
        main(Config(**whole | change))
    assert not (tmp_path / "out").exists()
