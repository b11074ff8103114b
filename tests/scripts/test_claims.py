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
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"claims.md", "claims.json", "helps.svg"}
    found = json.loads((tmp_path / "out" / "claims.json").read_text())["claims"][0]
    assert found["verdict"] == "confirmed" and [one["seed"] for one in found["measures"][0]["seeds"]] == [6, 7]
    pages = [file.read_bytes() for file in sorted((tmp_path / "out").iterdir())]
    main(config)  # again: the same to the bit
    assert [file.read_bytes() for file in sorted((tmp_path / "out").iterdir())] == pages


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
