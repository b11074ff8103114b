"""Say of each claim of the papers whether runs of several seeds confirm it.

    python scripts/claims.py --runs runs/reproduce --seeds 6 7 8 --out runs/claims

--runs has a directory seed-6, seed-7, … with the same files in each. --out gets claims.md (the tables), claims.json
(every number) and a picture of every claim that is measured. A claim whose results are missing is "not run yet".
zj/eval/claims/claim.py describes the file of claims, zj/eval/claims/statistics.py the intervals and the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zj import NOTICE, SYNTHETIC
from zj.cli import run_command
from zj.eval.claims import markdown, measure_claim, read_claims
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


def main(config: Config) -> None:
    for flag in ("runs", "seeds", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    if len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"--seeds {' '.join(map(str, config.seeds))}: expected each once")
    if not Path(config.runs).is_dir():
        raise ValueError(f"--runs {config.runs}: no directory {config.runs}")
    claims = read_claims(config.claims)
    folders = {seed: Path(config.runs) / f"seed-{seed}" for seed in config.seeds}
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
    write_text(out / "claims.md", f"{markdown(results, drawn, config.seeds)}\n{notice}\n")
    if missing := [one.claim.name for one in results if one.verdict == NOT_RUN]:
        print(f"not run yet: {', '.join(missing)}")
    print(f"{counts(results)}\n{out / 'claims.md'}: the tables\n{notice}")


if __name__ == "__main__":
    run_command(main, Config)
