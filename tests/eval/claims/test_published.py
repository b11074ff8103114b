"""docs/results.md and docs/claims say what the archived numbers of the seeds give."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.claims import Config, main

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED, CLAIMS = ROOT / "docs" / "claims", ROOT / "recipes" / "claims.toml"
SEEDS = tuple(sorted(int(file.stem.removeprefix("seed-")) for file in PUBLISHED.glob("seed-*.zip")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Claims and seeds → the files that claims.py makes of them."""

    def make(claims: Path, *seeds: int) -> dict[str, str]:
        out = tmp_path_factory.mktemp("seeds") / "claims"
        main(Config(str(PUBLISHED), str(claims), seeds, str(out)))
        return {file.name: file.read_text(encoding="utf-8") for file in out.iterdir()}

    return make


def test_the_pages_hold_the_numbers_of_the_archives(made, tmp_path):
    files = made(CLAIMS, *SEEDS)
    tables, page = files.pop("tables.md"), (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert tables in page
    files.pop("claims.json")
    for name, text in files.items():
        assert text == (PUBLISHED / name).read_text(encoding="utf-8"), name
    assert {file.name for file in PUBLISHED.iterdir()} == {*files, *(f"seed-{seed}.zip" for seed in SEEDS)}

    one = tmp_path / "claims.toml"  # the control: without a seed the row of a claim is another one
    one.write_text("[[claim]]" + CLAIMS.read_text(encoding="utf-8").split("\n[[claim]]")[1], encoding="utf-8")
    row, fewer = (made(one, *seeds)["tables.md"].strip().splitlines()[-1] for seeds in (SEEDS, SEEDS[:-1]))
    assert row in page and fewer not in page
