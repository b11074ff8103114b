"""Say of each claim of the papers whether runs of several seeds confirm it.

    python scripts/claims.py --runs runs/reproduce --seeds 6 7 8 --out runs/claims

--runs has a directory seed-6, seed-7, … with the same files in each, or the archive seed-6.zip that --archive wrote of
it: every number that the claims need, without the models and texts. --out gets claims.md (tables and every measure),
claims.json (every number), a picture of every claim that is measured, and tables.md, whose links are those of a page
beside the directory. A claim whose results are missing is "not run yet".
zj/eval/claims/claim.py describes the file of claims, zj/eval/claims/statistics.py the intervals and the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from zj import NOTICE, SYNTHETIC
from zj.cli import run_command
from zj.eval.claims import markdown, measure_claim, read_claims, tables
from zj.eval.claims.archive import archive
from zj.eval.claims.claim import Claim
from zj.eval.claims.figures import pictures
from zj.eval.claims.measure import NOT_RUN
from zj.eval.claims.report import as_json, counts
from zj.train import to_json, write_text


@dataclass(frozen=True)
class Config:
    runs: str = ""  # directory with the results of each seed, in seed-N
    claims: str = "recipes/claims.toml"  # the claims and their measures
    seeds: tuple[int, ...] = ()  # seeds of the experiments, two at least for a verdict
    out: str = ""  # directory to write; files of the same names are replaced
    archive: str = ""  # directory for seed-N.zip of each seed with the numbers that the claims need (none: not written)


def main(config: Config) -> None:
    for flag in ("runs", "seeds", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    if len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"--seeds {' '.join(map(str, config.seeds))}: expected each once")
    if not Path(config.runs).is_dir():
        raise ValueError(f"--runs {config.runs}: no directory {config.runs}")
    claims = read_claims(config.claims)
    with TemporaryDirectory() as unpacked:
        folders = {seed: results_of(Path(config.runs), f"seed-{seed}", Path(unpacked)) for seed in config.seeds}
        if config.archive:
            write_archives(config, claims, folders)
        write_claims(config, claims, folders)


def results_of(runs: Path, name: str, unpacked: Path) -> Path:
    """The directory of a seed's results; an archive is unpacked where there is none."""
    if (runs / name).is_dir() or not (runs / f"{name}.zip").is_file():
        return runs / name
    try:
        with ZipFile(runs / f"{name}.zip") as zip:
            zip.extractall(unpacked / name)
    except BadZipFile as error:
        raise ValueError(f"{runs / name}.zip: {error}") from None
    return unpacked / name


def write_archives(config: Config, claims: Sequence[Claim], folders: Mapping[int, Path]) -> None:
    for folder in folders.values():
        file = Path(config.archive) / f"{folder.name}.zip"
        if file.exists():
            raise ValueError(f"--archive {config.archive}: {file} is there, expected to write it; move it away first")
        if not folder.is_dir():
            raise ValueError(f"--runs {config.runs}: no {folder.name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        missing = archive(claims, folder, file)
        print(f"{file}: {'all results' if not missing else 'without ' + ', '.join(missing)}", flush=True)


def write_claims(config: Config, claims: Sequence[Claim], folders: dict[int, Path]) -> None:
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    results, drawn = [], {}
    for claim in claims:
        result = measure_claim(claim, folders)
        print(f"{claim.name}: {result.verdict}", flush=True)
        for name, text in (made := pictures(result, folders)).items():
            write_text(out / name, text)
        results.append(result)
        drawn[claim.name] = list(made)
    notice = f"{SYNTHETIC} {NOTICE}"
    write_text(out / "claims.json", to_json({"notice": notice} | as_json(results, config.seeds), indent=1) + "\n")
    write_text(out / "tables.md", tables(results, drawn, f"{out.name}/").strip() + "\n")
    write_text(out / "claims.md", f"{markdown(results, drawn, config.seeds)}\n{notice}\n")
    if missing := [one.claim.name for one in results if one.verdict == NOT_RUN]:
        print(f"not run yet: {', '.join(missing)}")
    print(f"{counts(results)}\n{out / 'claims.md'}: the tables\n{notice}")


if __name__ == "__main__":
    run_command(main, Config)
