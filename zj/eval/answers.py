"""What saved models say to the clinic's questions: prompts and a model directory in, texts out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from zj.clinic import Question, question_of
from zj.data.batching import pack_plan
from zj.data.readers import read
from zj.data.records import Prompt
from zj.data.template import encode_prompt, load_template
from zj.data.tokenizer import Tokenizer
from zj.inference.engine import Sampling, stream
from zj.model import Llama, Packed, sequence_logprobs
from zj.weights import load_model
from zj.weights.huggingface import check_tokenizer_fits


@dataclass(frozen=True)
class ChatModel:
    """A model with all that it needs to answer."""

    model: Llama
    tokenizer: Tokenizer
    template: str
    adapter: str | None = None  # the one it answers with, of those that its model carries


@dataclass(frozen=True)
class Answer:
    text: str
    finished: bool  # ended by itself, with EOS; else it is cut off where it ran out of room
    prompt: tuple[int, ...] = ()  # ids of the prompt
    ids: tuple[int, ...] = ()  # ids of the answer, EOS included


def read_questions(paths: Sequence[str], limit: int | None = None) -> list[Question]:
    """The clinic's questions behind the prompts of the files, the first `limit` of them.

    ValueError names file:line of a prompt that is not one of the clinic's: nobody knows the truth about it.
    """
    if not paths:
        raise ValueError("--data is missing: one or more files of the clinic's prompts")
    if limit is not None and limit < 1:
        raise ValueError(f"--limit is {limit}, expected at least 1 (none: all prompts)")
    prompts, _ = read(paths, "prompt")
    return [_question_behind(prompt) for prompt in prompts[:limit]]


def _question_behind(prompt: Prompt) -> Question:
    try:
        found = question_of(prompt.id)
    except ValueError as error:
        raise ValueError(f"{prompt.where}: {error}") from None
    if found.prompt != prompt:
        raise ValueError(f"{prompt.where}: found other words than those of question {prompt.id} of this clinic")
    return found


def load_chat_model(path: str, flag: str, dtype: torch.dtype, device: torch.device) -> ChatModel:
    """From the directory of a model or of a PEFT adapter, which is merged into its base. ValueError names the flag."""
    if not Path(path).is_dir():
        raise ValueError(f"{flag}: no directory {path}, expected that of a model or an adapter")
    speaker = ChatModel(load_model(path, dtype, device), Tokenizer.load(path), load_template(path))
    check_tokenizer_fits(speaker.model, len(speaker.tokenizer))
    return speaker


def answers(
    speaker: ChatModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    slots: int = 32,
) -> list[Answer]:
    """One sampled answer to each prompt, with a progress bar; a prompt that is there several times gets several.

    Prompts that are too long for the model beside `max_new_tokens` lose their oldest turns.
    """
    positions = speaker.model.config.max_position_embeddings
    if not 0 < max_new_tokens < positions:
        raise ValueError(f"--max-new-tokens is {max_new_tokens}, expected 1 to {positions - 1}, the model's positions")
    if slots < 1:
        raise ValueError(f"--slots is {slots}, expected at least 1")
    room, eos = positions - max_new_tokens, speaker.tokenizer.eos_id
    encoded = [encode_prompt(prompt, speaker.tokenizer, speaker.template, room) for prompt in prompts]
    said: list[list[int]] = [[] for _ in prompts]
    quiet = None if sys.stderr.isatty() else 10.0  # seconds between lines of a log file
    told = {"adapter": speaker.adapter, "eos_ids": (eos,), "seed": seed, "slots": slots}
    tokens = stream(speaker.model, encoded, max_new_tokens, Sampling(temperature), **told)  # type: ignore[arg-type]
    with tqdm(total=len(prompts), unit="answer", mininterval=quiet or 0.2, dynamic_ncols=True) as bar:
        for index, token in tokens:
            said[index].append(token)
            bar.update(token == eos or len(said[index]) == max_new_tokens)
    texts = [speaker.tokenizer.decode(ids).strip() for ids in said]
    return [
        Answer(text, ids[-1] == eos, tuple(prompt), tuple(ids))
        for text, prompt, ids in zip(texts, encoded, said, strict=True)
    ]


@torch.no_grad()
def log_likelihoods(
    speaker: ChatModel, said: Sequence[Answer], temperature: float, tokens_per_pack: int
) -> list[float]:
    """log p(answer | prompt) of each answer under this model, nats, dropout off; with the temperature of sampling."""
    model, found = speaker.model.eval(), [0.0] * len(said)
    for pack in pack_plan([len(answer.prompt) + len(answer.ids) for answer in said], tokens_per_pack)[0]:
        chosen = [said[index] for index in pack]
        packed = Packed.of([[*answer.prompt, *answer.ids] for answer in chosen], model.lm_head.weight.device)
        counted = torch.cat([torch.arange(n) >= len(a.prompt) for a, n in zip(chosen, packed.lengths, strict=True)])
        logprobs, _ = sequence_logprobs(model, packed, counted.to(packed.tokens.device), speaker.adapter, temperature)
        for index, total in zip(pack, packed.sums(logprobs).tolist(), strict=True):
            found[index] = total
    return found
