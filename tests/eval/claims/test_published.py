"""docs/results.md and docs/claims say what the archived numbers of the seeds give."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.claims import Config, main

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "claims"
SEEDS = tuple(sorted(int(file.stem.removeprefix("seed-")) for file in PUBLISHED.glob("seed-*.zip")))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Seeds → the files that claims.py makes of them."""

    def make(*seeds: int) -> dict[str, str]:
        out = tmp_path_factory.mktemp("seeds") / "claims"
        main(Config(str(PUBLISHED), str(ROOT / "recipes" / "claims.toml"), seeds, str(out)))
        return {file.name: file.read_text(encoding="utf-8") for file in out.iterdir()}

    return make


def test_the_pages_hold_the_numbers_of_the_archives(made):
    files = made(*SEEDS)
    tables = files.pop("tables.md")
    assert tables in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    files.pop("claims.json")
    for name, text in files.items():
        assert text == (PUBLISHED / name).read_text(encoding="utf-8"), name
    assert {file.name for file in PUBLISHED.iterdir()} == {*files, *(f"seed-{seed}.zip" for seed in SEEDS)}
    fewer = made(*SEEDS[:-1])  # the control: without a seed the numbers are others
    assert fewer["tables.md"] not in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
