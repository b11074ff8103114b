"""Sample answers for the ranking tool: K to each prompt, from one or several models, in the form that it imports.

python scripts/sample_answers.py --models runs/sft --data own.jsonl --outside new.jsonl --prompts 2000 --out items.jsonl
python scripts/sample_answers.py --models runs/sft runs/ppo --reference --data dialogues.jsonl --out items.jsonl

Half of the prompts are from the models' training data (--data), half from elsewhere (--outside). An interrupted run,
started again, goes on where it was; its work lies beside --out until that is written, in the folder OUT.parts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from zj import NOTICE
from zj.cli import already_there, check_range, run_command
from zj.data.candidates import FEWEST, MOST
from zj.data.readers import OnBadRow
from zj.data.records import Candidates, as_json
from zj.data.report import count
from zj.data.turns import Turn
from zj.feedback.answers.parts import Parts
from zj.feedback.answers.sampling import REFERENCE, PromptToAnswer, candidates_of, choose, draw, shares, turns_to_answer
from zj.inference.engine import Sampling
from zj.llm.answers import (
    Answer,
    answer_bar,
    check_chat_model,
    fit_prompt,
    load_chat_model,
    model_names,
    room_beside,
    sample,
    seed_of,
)
from zj.stages.identity import data_digest, model_digest
from zj.train import DTYPES, start, write_text
from zj.train.run_directory import lock
from zj.weights import check_base_is_used

BLOCK = 256  # prompts that are sampled, and reach the disk, at a time


@dataclass(frozen=True)
class Config:
    models: tuple[str, ...] = ()  # Hugging Face model or PEFT adapter directories; loaded one after the other
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    data: tuple[str, ...] = ()  # files that the models were trained on: dialogues or prompts
    outside: tuple[str, ...] = ()  # files that they were not trained on; what is asked in both is left out of these
    on_bad_row: OnBadRow = "stop"  # what to do at a row that cannot be read
    prompts: int = 0  # number of prompts, half from --data and half from --outside, or all from the one given (0: all)
    turn: Turn = "each"  # turns of a dialogue that are asked, with those before them as history
    closing_turns: Literal["leave-out", "keep"] = "leave-out"  # turns that ask nothing, such as a patient's thanks
    answers: int = 4  # answers per prompt, shared out over the models
    reference: bool = False  # whether the dialogue's own answer is one of them
    template: str = ""  # prompt format of all models (none: the one stored with each)
    out: str = ""  # file of items to write, one a line; an existing file is kept
    temperature: float = 1.0  # of sampling; 0 is greedy
    max_new_tokens: int = 512  # tokens of the longest answer; one that is cut off there is sampled again, or left out
    seed: int = 0  # of sampling, and of the order of the answers in a row
    slots: int = 32  # answers sampled at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    names = check(config)
    out = Path(config.out)
    parts = Parts(out)
    if already_there(out, "sample"):
        parts.remove()
        return
    for folder in config.models:
        check_chat_model(folder, "--models", config.max_new_tokens, config.base, config.template)
    check_base_is_used(config.base, *config.models)
    to_answer = prompts_of(config)
    if parts.begin(settings_of(config, names)):
        print(f"{parts.folder}: a run that was interrupted goes on")
    lock(parts.folder)
    for model in range(len(names)):
        sample_model(config, model, to_answer, parts)
    write_items(config, names, to_answer, parts)
    print(NOTICE)


def check(config: Config) -> list[str]:
    """The names of the models, for people: the last parts of their paths if these differ. ValueError names a flag."""
    for flag in ("models", "out"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    if not (config.data or config.outside):
        raise ValueError("--data is missing, and so is --outside: files of dialogues or prompts")
    if Path(config.out).is_dir():
        raise ValueError(f"--out {config.out} is a directory, expected the name of a file")
    check_range(config, "answers", FEWEST, MOST)
    check_range(config, "prompts", 0)
    check_range(config, "slots", 1)
    Sampling(config.temperature)  # or an error
    sampled = config.answers - config.reference
    if config.temperature == 0 and sampled > len(config.models):
        given = f"{count(sampled, 'answer')} of {count(len(config.models), 'model')}"
        raise ValueError(f"--temperature 0: found {given}, expected at most one of each")
    return model_names(config.models, "--models", [REFERENCE])


def prompts_of(config: Config) -> list[PromptToAnswer]:
    """What is asked, in the order of the output; prints what was read and left out."""
    sides: dict[str, list[PromptToAnswer]] = {"training": [], "outside": []}
    for source, files in (("training", config.data), ("outside", config.outside)):
        if not files:
            continue
        try:
            sides[source], report = turns_to_answer(files, source, config.turn, config.reference, config.on_bad_row)
        except ValueError as error:
            flag = "--data" if source == "training" else "--outside"
            raise ValueError(str(error).replace("--data", flag, 1)) from None
        print(f"{source}: {report}", flush=True)
    choice = choose(sides["training"], sides["outside"], config.prompts, config.closing_turns == "keep")
    print(
        f"{choice.repeats:,} prompts repeat others but for their typing, left out; {choice.in_both:,} of --outside are "
        f"of dialogues that begin as one of --data, left out; {count(choice.idle, 'turn')} that ask nothing, "
        f"{'kept' if config.closing_turns == 'keep' else 'left out'}"
    )
    training, outside = choice.count("training"), choice.count("outside")
    print(f"{count(len(choice.to_answer), 'prompt')} to ask: {training:,} training, {outside:,} outside", flush=True)
    return choice.to_answer


def settings_of(config: Config, names: Sequence[str]) -> dict[str, Any]:
    """What the output depends on, but for slots and device: of files and models a digest of their contents."""
    free = ("base", "on_bad_row", "out", "slots", "device")
    settings = {name: value for name, value in vars(config).items() if name not in free}
    digests = [model_digest(Path(folder), config.base) for folder in config.models]
    settings["models"] = [f"{name} {digest}" for name, digest in zip(names, digests, strict=True)]
    for name in ("data", "outside"):
        settings[name] = f"files of digest {data_digest(files)}" if (files := getattr(config, name)) else "no files"
    return settings


def sample_model(config: Config, model: int, to_answer: Sequence[PromptToAnswer], parts: Parts) -> None:
    """All answers of one model, block by block, from the first block on that is not on the disk."""
    wanted = [shares(len(config.models), config.answers - config.reference, n)[model] for n in range(len(to_answer))]
    begun = parts.count(model, BLOCK, len(to_answer))
    if begun == len(to_answer):
        return
    folder = config.models[model]
    print(f"{folder}: {sum(wanted):,} answers, {sum(wanted[:begun]):,} of them sampled before", flush=True)
    device = start(config.device, config.dtype).device
    chat_model = load_chat_model(folder, "--models", DTYPES[config.dtype], device, config.base, config.template)
    room = room_beside(chat_model, config.max_new_tokens)
    earlier = [parts.rows(before, begun) for before in range(model)]
    with answer_bar(sum(wanted), sum(wanted[:begun])) as bar:
        for first in range(begun, len(to_answer), BLOCK):
            block = to_answer[first : first + BLOCK]
            fitted = [fit_prompt(one.prompt, chat_model.tokenizer, chat_model.template, room) for one in block]
            taken = [{one.reference} for one in block]
            for rows in earlier:
                for texts, row in zip(taken, islice(rows, len(block)), strict=True):
                    texts.update(row["texts"])

            def answer(numbers: list[int], attempt: int, fitted: Any = fitted) -> list[Answer]:
                return sample(
                    chat_model,
                    [fitted[number][0] for number in numbers],
                    Sampling(config.temperature),
                    None if attempt else bar,
                    max_new_tokens=config.max_new_tokens,
                    seed=seed_of(config.seed, model, attempt),
                    slots=config.slots,
                )

            drawn = draw(wanted[first : first + BLOCK], taken, answer)
            told = zip(drawn, fitted, strict=True)
            parts.append(model, [vars(one) | {"shortened": int(shortened)} for one, (_, shortened) in told])


def write_items(config: Config, names: Sequence[str], to_answer: Sequence[PromptToAnswer], parts: Parts) -> None:
    """Write the items, and tell what became of the prompts and of the answers."""
    told, sizes, sources = Counter[str](), Counter[int](), Counter[str]()

    def items() -> Iterator[Candidates]:
        for one, *rows in zip(to_answer, *(parts.rows(model) for model in range(len(names))), strict=True):
            for row in rows:
                told.update({key: value for key, value in row.items() if key != "texts"})
                told["kept"] += len(row["texts"])
            item = candidates_of(one, names, [row["texts"] for row in rows], config.seed)
            if item is not None:
                sizes[len(item.answers)] += 1
                sources[item.source] += 1
                yield item

    if next(items(), None) is None:
        raise ValueError(
            f"--models: found no prompt with two different whole answers ({told['cut']:,} are cut off at "
            f"--max-new-tokens {config.max_new_tokens}, {told['equal']:,} equal to another, {told['empty']:,} empty)"
        )
    for counter in (told, sizes, sources):
        counter.clear()
    out = Path(config.out)
    write_text(out, (json.dumps(as_json(item), ensure_ascii=False) + "\n" for item in items()))
    parts.remove()
    written, again = sum(sizes.values()), told["equal"] + told["cut"] + told["empty"]
    fewer = written - sizes[config.answers]
    print(
        f"{told['kept']:,} answers kept of {told['kept'] + again:,} sampled; not shown: {told['cut']:,} cut off at "
        f"--max-new-tokens {config.max_new_tokens}, {told['equal']:,} equal to another one, {told['empty']:,} empty; "
        f"{told['shortened']:,} conversations shortened\n"
        f"{out}: {count(written, 'item')} ({sources['training']:,} training, {sources['outside']:,} outside), "
        f"{fewer:,} of them with fewer than {config.answers} answers; "
        f"{count(len(to_answer) - written, 'prompt')} left out, without two different whole answers"
    )


if __name__ == "__main__":
    run_command(main, Config)
