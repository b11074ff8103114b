"""Answers of saved models: prompts and a model directory in, texts out."""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from zj.data.batching import pack_plan
from zj.data.prompt_formats import choose_template, load_template
from zj.data.records import Prompt
from zj.data.template import encode_prompt, stop_ids
from zj.data.tokenizer import Tokenizer
from zj.inference.engine import Sampling, stream
from zj.model import Llama, Packed, sequence_logprobs
from zj.weights import check_directory, config_of, load_model
from zj.weights.huggingface import check_tokenizer_fits


@dataclass(frozen=True)
class LoadedModel:
    """A model, its tokenizer and its template."""

    model: Llama
    tokenizer: Tokenizer
    template: str
    adapter: str | None = None  # the adapter of the model that answers (None: the base)


@dataclass(frozen=True)
class Answer:
    text: str
    finished: bool  # ended with EOS; else cut off at the longest length
    prompt: tuple[int, ...] = ()  # ids of the prompt
    ids: tuple[int, ...] = ()  # ids of the answer, EOS included


def model_names(folders: Sequence[str], flag: str, taken: Collection[str] = ()) -> list[str]:
    """Names of models for people: the last parts of their paths if these differ and are not `taken`, else the paths.

    ValueError, naming the flag, if a model occurs twice.
    """
    names = [Path(folder).resolve().name for folder in folders]
    paths = [str(Path(folder).resolve()) for folder in folders]
    if len(set(paths)) < len(paths):
        raise ValueError(f"{flag} {' '.join(folders)}: found a model twice, expected each once")
    return names if len({*names, *taken}) == len(names) + len(taken) else paths


def check_chat_model(path: str, flag: str, max_new_tokens: int, base: str = "", template: str = "") -> None:
    """ValueError, naming the flag, for what `load_chat_model` and then `generate_answers` would refuse.

    To be called for all models before the first is loaded. It reads tokenizer, format and config and no weights.
    """
    check_directory(flag, path)
    try:
        Tokenizer.load(path)
        choose_template(template, path)
        config = config_of(path, base, strict=False)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None
    check_answer_length(max_new_tokens, config.max_position_embeddings)


def check_answer_length(max_new_tokens: int, positions: int, flag: str = "--max-new-tokens") -> None:
    """ValueError unless a model with so many positions has room for such an answer behind a prompt."""
    if not 0 < max_new_tokens < positions:
        raise ValueError(f"{flag} is {max_new_tokens}, expected 1 to {positions - 1}, the model's positions")


def load_chat_model(
    path: str, flag: str, dtype: torch.dtype, device: torch.device, base: str = "", template: str = ""
) -> LoadedModel:
    """From the directory of a model, or of a PEFT adapter, which is merged into its base. ValueError names the flag.

    `base`: the directory of the base, if not the one that the adapter names; another one is warned about.
    `template`: the prompt format ("": the one stored in the directory).
    """
    check_chat_model(path, flag, 1, base, template)
    tokenizer, template = Tokenizer.load(path), template or load_template(path)
    chat_model = LoadedModel(load_model(path, dtype, device, base=base, strict=False), tokenizer, template)
    check_tokenizer_fits(chat_model.model, len(chat_model.tokenizer))
    return chat_model


def generate_answers(
    chat_model: LoadedModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    slots: int = 32,
) -> list[Answer]:
    """One sampled answer to each prompt, with a progress bar; a prompt may occur several times.

    Prompts that exceed the model's positions minus `max_new_tokens` lose their oldest turns; their count is printed.
    """
    room, sampling = room_beside(chat_model, max_new_tokens), Sampling(temperature)
    if slots < 1:
        raise ValueError(f"--slots is {slots}, expected at least 1")
    encoded = encode_prompts(prompts, chat_model.tokenizer, chat_model.template, room)
    with answer_bar(len(prompts)) as bar:
        return sample(chat_model, encoded, sampling, bar, max_new_tokens=max_new_tokens, seed=seed, slots=slots)


def room_beside(chat_model: LoadedModel, max_new_tokens: int) -> int:
    """The tokens that a prompt may have beside an answer of this length. ValueError if there are none."""
    positions = chat_model.model.config.max_position_embeddings
    check_answer_length(max_new_tokens, positions)
    return positions - max_new_tokens


def encode_prompts(prompts: Sequence[Prompt], tokenizer: Tokenizer, template: str, room: int) -> list[list[int]]:
    """The ids of each prompt, at most `room` of them; prints how many different prompts were shortened for that."""
    fitted = {prompt: fit_prompt(prompt, tokenizer, template, room) for prompt in dict.fromkeys(prompts)}
    long = sum(shortened for _, shortened in fitted.values())
    print(f"{long:,} of {len(fitted):,} conversations shortened to the {room:,} tokens beside an answer, none left out")
    return [fitted[prompt][0] for prompt in prompts]


def fit_prompt(prompt: Prompt, tokenizer: Tokenizer, template: str, room: int) -> tuple[list[int], bool]:
    """(ids of the prompt, at most `room` of them; whether its oldest turns were left out for that)."""
    ids = encode_prompt(prompt, tokenizer, template)
    return (ids, False) if len(ids) <= room else (encode_prompt(prompt, tokenizer, template, room), True)


def answer_bar(total: int, done: int = 0) -> tqdm[NoReturn]:
    """A progress bar that counts answers and shows the time left."""
    interval = 0.2 if sys.stderr.isatty() else 10.0  # seconds between updates
    return tqdm(total=total, initial=done, unit="answer", mininterval=interval, dynamic_ncols=True)


def sample(
    chat_model: LoadedModel,
    encoded: Sequence[Sequence[int]],
    sampling: Sampling,
    bar: tqdm[NoReturn] | None = None,
    *,
    max_new_tokens: int,
    seed: int,
    slots: int,
) -> list[Answer]:
    """One sampled answer to each prompt, given as its ids; `bar` advances with each. Equal prompts get others."""
    answers: dict[int, Answer] = {}
    for index, answer in stream_answers(
        chat_model, encoded, sampling, max_new_tokens=max_new_tokens, seed=seed, slots=slots
    ):
        answers[index] = answer
        if bar is not None:
            bar.update()
    return [answers[index] for index in range(len(encoded))]


def stream_answers(
    chat_model: LoadedModel,
    encoded: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    max_new_tokens: int,
    seed: int | Sequence[int],
    slots: int,
) -> Iterator[tuple[int, Answer]]:
    """(index of the prompt, its answer), each as soon as it has ended; arguments as of `zj.inference.generate`."""
    ends, new_ids = stop_ids(chat_model.tokenizer, chat_model.template), [list[int]() for _ in encoded]
    options = {"adapter": chat_model.adapter, "eos_ids": ends, "seed": seed, "slots": slots}
    for index, token in stream(chat_model.model, encoded, max_new_tokens, sampling, **options):  # type: ignore[arg-type]
        ids = new_ids[index]
        ids.append(token)
        if token in ends or len(ids) == max_new_tokens:
            text = chat_model.tokenizer.decode(ids).strip()
            yield index, Answer(text, token in ends, tuple(encoded[index]), tuple(ids))


@torch.no_grad()
def log_likelihoods(
    chat_model: LoadedModel, answers: Sequence[Answer], temperature: float, tokens_per_pack: int
) -> list[float]:
    """log p(answer | prompt) of each answer under this model at this temperature, nats, without dropout."""
    model, totals = chat_model.model.eval(), [0.0] * len(answers)
    for pack in pack_plan([len(answer.prompt) + len(answer.ids) for answer in answers], tokens_per_pack)[0]:
        packed_answers = [answers[index] for index in pack]
        packed = Packed.of([[*answer.prompt, *answer.ids] for answer in packed_answers], model.lm_head.weight.device)
        counted = torch.cat(
            [torch.arange(n) >= len(a.prompt) for a, n in zip(packed_answers, packed.lengths, strict=True)]
        )
        logprobs, _ = sequence_logprobs(
            model, packed, counted.to(packed.tokens.device), chat_model.adapter, temperature
        )
        for index, total in zip(pack, packed.sums(logprobs).tolist(), strict=True):
            totals[index] = total
    return totals


def seed_of(seed: int, model: int, attempt: int) -> int:
    """Another seed for each model and attempt, so that two models that are alike do not say the same."""
    return random.Random(f"{seed}/{model}/{attempt}").getrandbits(32)
