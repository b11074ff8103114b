"""Talk to a model in the terminal; answers appear as they are written.

python scripts/chat.py --model runs/sft
python scripts/chat.py --model base --adapter runs/sft runs/dpo        (then /adapter dpo, /adapter none)
"""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE
from zj.cli import run_command
from zj.data.records import Prompt, Turn
from zj.data.template import FILE as TEMPLATE
from zj.data.template import TEMPLATES, encode_prompt, load_template
from zj.data.tokenizer import MODEL as TOKENIZER
from zj.data.tokenizer import Tokenizer
from zj.inference.engine import Sampling, stream
from zj.train import DTYPES, start
from zj.weights import load_model, load_peft
from zj.weights.huggingface import check_tokenizer_fits

with suppress(ImportError):  # not on every system
    import readline  # noqa: F401  gives input() line editing and a history

HELP = """/reset           forget the conversation
/adapter NAME    answer with another adapter, or with none; without NAME: list them
/help            this text
/exit            leave (as Ctrl-D does); Ctrl-C stops an answer"""
BROKEN = "\ufffd"  # what a character decodes to whose last bytes are yet to come


@dataclass(frozen=True)
class Config:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    adapter: tuple[str, ...] = ()  # PEFT adapter directories to switch between; the first one answers at first
    template: str = ""  # prompt format (none: the one stored with model or adapter)
    system: str = ""  # system text of the conversation
    temperature: float = 0.7  # 0 takes the most probable token; 1 is the model's own distribution
    top_p: float = 0.9  # only the most probable tokens that share this probability; 1 keeps all
    top_k: int = 0  # only this many most probable tokens; 0 keeps all
    repetition_penalty: float = 1.0  # above 1, tokens already there become less probable
    max_new_tokens: int = (
        0  # longest answer, which older turns give way to; 0: 512, or half of a shorter model's positions
    )
    seed: int = 0  # of the answers: the same seed and conversation give the same answer
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    chat = Chat(config)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script that runs this in the background ignores Ctrl-C
    print(f"{NOTICE}\n{chat.describe()}; /help lists the commands", flush=True)
    try:
        for line in user_lines():
            if line == "/exit":
                return
            if line.startswith("/"):
                print(chat.command(line), flush=True)
            elif line:
                print("医生：", end="", flush=True)
                print(f"{chat.answer(line)}\n", flush=True)
    except KeyboardInterrupt:  # at the prompt; an answer takes Ctrl-C for itself
        print()


def user_lines() -> Iterator[str]:
    """What the user types, until the end of input."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while True:
        try:
            line = input("患者：")
        except EOFError:
            print()
            return
        if not sys.stdin.isatty():
            print(line)  # a terminal has shown it already
        yield line.strip()


class Chat:
    """A conversation with one model and the adapters it can speak with."""

    def __init__(self, config: Config):
        self.config = config
        self.sampling = Sampling(config.temperature, config.top_p, config.top_k, config.repetition_penalty)
        folders = _folders(config)
        device = start(config.device).device
        home = _first_with(TOKENIZER, [config.model, *config.adapter])
        self.tokenizer = Tokenizer.load(home or config.model)
        self.model = load_model(config.model, DTYPES[config.dtype], device)
        check_tokenizer_fits(self.model, len(self.tokenizer))
        for name, folder in folders.items():
            load_peft(self.model, folder, name)
        self.templates = _templates(config, folders)
        self.adapter: str | None = next(iter(folders), None)
        positions = self.model.config.max_position_embeddings
        self.max_new_tokens = _longest_answer(config, positions)
        self.room = positions - self.max_new_tokens  # tokens that a prompt may have
        self.history: tuple[Turn, ...] = ()

    def describe(self) -> str:
        parameters = sum(p.numel() for p in self.model.parameters())
        speaks = f", adapter {self.adapter}" if self.adapter else ""
        return f"{self.config.model}{speaks}: {parameters:,} parameters, template {self.templates[self.adapter]}"

    def command(self, line: str) -> str:
        """Do what a line that begins with "/" says; the answer to it."""
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
        """Print the answer as it is written and keep the turn. What it returns says why the answer is not whole."""
        prompt = Prompt("chat", user, self.history, self.config.system, where="--system")
        ids = encode_prompt(prompt, self.tokenizer, self.templates[self.adapter], self.room)
        said: list[int] = []
        with ctrl_c_stops() as stopped:
            for text in whole_characters(self._new_ids(ids, said), self.tokenizer):
                print(text, end="", flush=True)
                if stopped:
                    break
        if answer := self.tokenizer.decode(said):
            self.history += ((user, answer),)
        if said and said[-1] == self.tokenizer.eos_id:
            return ""
        return "\n(stopped)" if stopped else f"\n(cut at --max-new-tokens {self.max_new_tokens})"

    def _new_ids(self, prompt: list[int], said: list[int]) -> Iterator[int]:
        """Ids as they come; `said` collects them."""
        ids = stream(
            self.model,
            [prompt],
            self.max_new_tokens,
            self.sampling,
            adapter=self.adapter,
            eos_ids=(self.tokenizer.eos_id,),
            seed=self.config.seed,
        )
        for _, token in ids:
            said.append(token)
            yield token


def whole_characters(ids: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """The text that each id adds. A character whose bytes are spread over several ids comes with the last of them."""
    seen: list[int] = []
    shown = 0  # characters given so far
    for token in ids:
        seen.append(token)
        text = tokenizer.decode(seen).rstrip(BROKEN)
        yield text[shown:]
        shown = max(shown, len(text))
    yield tokenizer.decode(seen)[shown:]  # bytes that never became a character


@contextmanager
def ctrl_c_stops() -> Iterator[list[int]]:
    """While this lasts, Ctrl-C puts something into the list instead of ending the program."""
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
    folders: dict[str, str] = {}
    for folder in config.adapter:
        name = Path(folder).resolve().name.replace(".", "_")
        if name in folders or name == "none":
            raise ValueError(f"--adapter {folder}: the name {name} is taken, expected directories of different names")
        folders[name] = folder
    return folders


def _templates(config: Config, folders: dict[str, str]) -> dict[str | None, str]:
    """Adapter name -> the template it was trained with; None stands for the model without any."""
    if config.template:
        if config.template not in TEMPLATES:
            raise ValueError(f"--template {config.template}: unknown, expected one of {', '.join(TEMPLATES)}")
        return dict.fromkeys([*folders, None], config.template)
    base = load_template(_first_with(TEMPLATE, [config.model, *config.adapter]) or config.model)
    own = {name: load_template(folder) for name, folder in folders.items() if (Path(folder) / TEMPLATE).is_file()}
    return {name: own.get(name, base) for name in folders} | {None: base}


def _first_with(file: str, folders: Iterable[str]) -> str | None:
    return next((folder for folder in folders if (Path(folder) / file).is_file()), None)


def _longest_answer(config: Config, positions: int) -> int:
    if config.max_new_tokens == 0:
        return min(512, positions // 2)
    if not 0 < config.max_new_tokens < positions:
        raise ValueError(
            f"--max-new-tokens is {config.max_new_tokens}, expected 1 to {positions - 1}: "
            f"the model has {positions} positions for prompt and answer"
        )
    return config.max_new_tokens


if __name__ == "__main__":
    run_command(main, Config)
