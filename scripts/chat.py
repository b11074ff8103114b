"""Chat with a model in the terminal; answers are streamed.

python scripts/chat.py --model runs/sft
python scripts/chat.py --model base --adapter runs/sft runs/dpo        (then /adapter dpo, /adapter none)
python scripts/chat.py --model runs/sft < questions.txt > answers.txt

At a terminal a pasted question may have several lines. From a pipe or a file every line is the next question of one
conversation; stdout then gets the answers alone, an empty line after each, and stderr all else.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from zj import NOTICE
from zj.cli import is_interactive, run_command, typed
from zj.data.prompt_formats import choose_template, stored_template
from zj.data.records import Prompt, Turn
from zj.data.template import encode_prompt, stop_ids
from zj.data.tokenizer import Tokenizer, has_tokenizer
from zj.inference.engine import Sampling, stream
from zj.train import DTYPES, start
from zj.weights import check_base, check_base_is_used, check_directory, config_of, load_model, load_peft
from zj.weights.huggingface import check_tokenizer_fits

HELP = """/reset           forget the conversation
/adapter NAME    answer with another adapter, or with none; without NAME: list them
/help            this text
/exit /quit /q   leave (as Ctrl-D does); Ctrl-C stops an answer"""
LEAVE = ("/exit", "/quit", "/q")
REPLACEMENT = "\ufffd"  # an incomplete character decodes to this


@dataclass(frozen=True)
class Config:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    adapter: tuple[str, ...] = ()  # PEFT adapter directories to switch between; the first one is active at the start
    template: str = ""  # prompt format (none: the one stored with model or adapter)
    system: str = ""  # system text of the conversation
    temperature: float = 0.7  # of sampling; 0 is greedy
    top_p: float = 0.9  # sample from the most probable tokens with this total probability; 1 keeps all
    top_k: int = 0  # sample from this many most probable tokens; 0 keeps all
    repetition_penalty: float = 1.0  # above 1, tokens of the text so far become less probable
    max_new_tokens: int = 0  # tokens of the longest answer; older turns make room (0: 512, at most half the positions)
    seed: int = 0  # of sampling: the same seed and conversation give the same answer
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    chat = Chat(config)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore Ctrl-C in background jobs
    tell(f"{NOTICE}\n{chat.describe()}; /help lists the commands\n")
    try:
        for question in map(str.strip, typed("患者：")):
            if question in LEAVE:
                return
            if question.startswith("/"):
                tell(chat.command(question) + "\n")
            elif question:
                print("医生：" if is_interactive() else "", end="", flush=True)
                note = chat.answer(question)
                print(flush=True)
                tell(note)
                print(flush=True)
    except KeyboardInterrupt:  # at the prompt; during an answer `ctrl_c_stops` handles it
        tell("\n")


def tell(text: str) -> None:
    """Print what is no answer: at a terminal to stdout, else to stderr."""
    print(text, end="", flush=True, file=sys.stdout if is_interactive() else sys.stderr)


class Chat:
    """A conversation with one model and its adapters."""

    def __init__(self, config: Config):
        self.config = config
        self.sampling = Sampling(config.temperature, config.top_p, config.top_k, config.repetition_penalty)
        folders = _folders(config)
        check_base_is_used(config.base, config.model, *config.adapter)
        self.templates = _templates(config, folders)
        positions = config_of(config.model, config.base, strict=False).max_position_embeddings
        home = next(filter(has_tokenizer, [config.model, *config.adapter]), config.model)
        self.tokenizer = Tokenizer.load(home)
        _check_tokenizers(config, self.tokenizer, home)
        self.max_new_tokens = config.max_new_tokens or min(512, positions // 2)
        self.room = positions - self.max_new_tokens  # tokens that a prompt may have
        _check_room(self)
        device = start(config.device, config.dtype).device
        self.model = load_model(config.model, DTYPES[config.dtype], device, base=config.base, strict=False)
        check_tokenizer_fits(self.model, len(self.tokenizer))
        for name, folder in folders.items():
            check_base(folder, config.model, strict=False)
            load_peft(self.model, folder, name)
        self.adapter: str | None = next(iter(folders), None)
        self.history: tuple[Turn, ...] = ()

    def describe(self) -> str:
        parameters = sum(p.numel() for p in self.model.parameters())
        adapter = f", adapter {self.adapter}" if self.adapter else ""
        return f"{self.config.model}{adapter}: {parameters:,} parameters, template {self.templates[self.adapter]}"

    def command(self, line: str) -> str:
        """Run a line that begins with "/"; returns the message to print."""
        word, _, name = line.partition(" ")
        name = name.strip()
        if word == "/help":
            return HELP
        if word == "/reset":
            self.history = ()
            return "(the conversation is forgotten)"
        if word != "/adapter":
            return f"(no command {word}; /help lists them)"
        names = {adapter or "none": adapter for adapter in self.templates}
        if len(names) == 1:
            return "(no adapters are loaded: --adapter loads them)"
        if name not in names:
            unknown = f"no adapter {name}; " if name else ""
            return f"({unknown}there are {', '.join(names)}; {self.adapter or 'none'} answers)"
        self.adapter = names[name]
        return f"({name} answers from now on; the conversation goes on)"

    def answer(self, user: str) -> str:
        """Stream the answer to stdout and keep the turn; returns lines on why prompt or answer are incomplete."""
        self.ends = stop_ids(self.tokenizer, self.templates[self.adapter])
        prompt = Prompt("chat", user, self.history, self.config.system, where="--system")
        template = self.templates[self.adapter]
        ids = encode_prompt(prompt, self.tokenizer, template, self.room)
        note = self._left_out(prompt, template)
        new_ids: list[int] = []
        with ctrl_c_stops() as stopped:
            for text in whole_characters(self._new_ids(ids, new_ids), self.tokenizer):
                print(text, end="", flush=True)
                if stopped:
                    break
        if answer := self.tokenizer.decode(new_ids):
            self.history += ((user, answer),)
        if new_ids and new_ids[-1] in self.ends:
            return note
        return ("(stopped)\n" if stopped else f"(cut at --max-new-tokens {self.max_new_tokens})\n") + note

    def _left_out(self, prompt: Prompt, template: str) -> str:
        """A line on what of the conversation does not fit, or ""."""
        turns, alone = (
            len(encode_prompt(part, self.tokenizer, template)) > self.room
            for part in (prompt, replace(prompt, history=()))
        )
        what = "the beginning of the question was" if alone else "the oldest turns were"
        return f"({what} left out: beside the answer there is room for {self.room} tokens)\n" if turns else ""

    def _new_ids(self, prompt: list[int], collected: list[int]) -> Iterator[int]:
        """New ids as they are sampled, also appended to `collected`."""
        ids = stream(
            self.model,
            [prompt],
            self.max_new_tokens,
            self.sampling,
            adapter=self.adapter,
            eos_ids=self.ends,
            seed=self.config.seed,
        )
        for _, token in ids:
            collected.append(token)
            yield token


def whole_characters(ids: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """The text that each id adds. A character of several ids is yielded with the last of them."""
    ids_so_far: list[int] = []
    shown = 0  # characters yielded
    for token in ids:
        ids_so_far.append(token)
        text = tokenizer.decode(ids_so_far).rstrip(REPLACEMENT)
        yield text[shown:]
        shown = max(shown, len(text))
    yield tokenizer.decode(ids_so_far)[shown:]  # bytes of an incomplete character


@contextmanager
def ctrl_c_stops() -> Iterator[list[int]]:
    """Inside this context, Ctrl-C appends to the list instead of raising KeyboardInterrupt."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _folders(config: Config) -> dict[str, str]:
    """Adapter name -> its directory. The name is the last part of the path."""
    if not config.model:
        raise ValueError("--model is missing: the directory of a model, or of an adapter")
    check_directory("--model", config.model)
    folders: dict[str, str] = {}
    for folder in config.adapter:
        check_directory("--adapter", folder)
        name = Path(folder).resolve().name.replace(".", "_")
        if name in folders or name == "none":
            raise ValueError(f"--adapter {folder}: the name {name} is taken, expected directories of different names")
        folders[name] = folder
    return folders


def _templates(config: Config, folders: dict[str, str]) -> dict[str | None, str]:
    """Adapter name -> the template it was trained with; None means the model without an adapter."""
    chosen = config.template
    base = choose_template(chosen, next(filter(stored_template, [config.model, *config.adapter]), config.model))
    storing = {name: folder for name, folder in folders.items() if stored_template(folder)}
    stored = {name: choose_template(chosen, folder) for name, folder in storing.items()}
    return {name: stored.get(name, base) for name in folders} | {None: base}


def _check_tokenizers(config: Config, tokenizer: Tokenizer, home: str) -> None:
    """ValueError for an adapter that brings a tokenizer with other ids: one conversation has one tokenizer."""
    for folder in config.adapter:
        if has_tokenizer(folder) and not Tokenizer.load(folder).same_ids(tokenizer):
            raise ValueError(
                f"--adapter {folder}: its tokenizer gives other ids than that of {home}; expected the same"
            )


def _check_room(chat: Chat) -> None:
    """ValueError if no question of one token fits beside the longest answer, before the model is loaded."""
    empty = Prompt("chat", "", system=chat.config.system)
    shortest = max(len(encode_prompt(empty, chat.tokenizer, template)) for template in set(chat.templates.values())) + 1
    positions = chat.room + chat.max_new_tokens
    longest = positions - shortest
    if longest < 1:
        raise ValueError(f"--system takes {shortest} tokens with a question, the model has {positions} positions")
    if not 0 < chat.max_new_tokens <= longest:
        raise ValueError(
            f"--max-new-tokens is {chat.max_new_tokens}, expected 1 to {longest}: the model has "
            f"{positions} positions, and system text and question take at least {shortest}"
        )


if __name__ == "__main__":
    run_command(main, Config)
