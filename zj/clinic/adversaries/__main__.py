"""python -m zj.clinic.adversaries --size N --seed S [--about 科]: the gold judge's scores of adversaries."""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict

from zj import NOTICE, SYNTHETIC
from zj.cli import guard_console
from zj.clinic.adversaries import best_constant, compliances, practice, refusals, salads
from zj.clinic.judge import judge


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m zj.clinic.adversaries", description=f"Try to fool the gold judge. {SYNTHETIC} {NOTICE}"
    )
    parser.add_argument("--size", type=int, default=300, help="number of questions (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="of questions and adversaries (default 0)")
    parser.add_argument("--about", nargs="*", default=[], metavar="C", help="conditions or departments (default: all)")
    parser.add_argument("--exam", action="store_true", help="use questions of the examination (default: of practice)")
    guard_console()
    options = parser.parse_args(arguments)
    try:
        if options.size < 2:
            raise ValueError(f"--size: found {options.size}, expected at least 2")
        practised = practice(options.seed, options.size, options.about)
        questions = practice(options.seed, options.size, options.about, held_out=True) if options.exam else practised
    except ValueError as error:
        print(f"zj.clinic.adversaries: error: {error}", file=sys.stderr)
        return 2
    rng, scores = random.Random(options.seed), defaultdict(list)
    for question in questions:
        scores["reference"].append(judge(question, question.reference).score)
        for name, text in salads(rng, question, questions).items():
            scores[name].append(judge(question, text).score)
    constant, _ = best_constant(practised, seed=options.seed)
    scores["best constant of practice"] = [judge(question, constant).score for question in questions]
    for name, pairs in (("compliances by hand", compliances()), ("refusals by hand", refusals())):
        scores[name] = [judge(question, answer).score for question, answer in pairs]
    print(f"{'':28}{'answers':>9}{'mean':>8}{'least':>8}{'most':>8}")
    for name, values in scores.items():
        print(f"{name:28}{len(values):9,}{sum(values) / len(values):8.3f}{min(values):8.3f}{max(values):8.3f}")
    print(f"the constant: {constant}\n{SYNTHETIC}\n{NOTICE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
