"""Let a model meet patients it was not trained on: they speak from held-out dialogues, the doctor is the model.

python scripts/consult.py --model runs/sft --data runs/sft/clinic/multi.jsonl --number 3
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj import NOTICE
from zj.cli import run_command
from zj.data.batching import split
from zj.data.readers import read
from zj.data.records import Dialogue, Prompt, Turn
from zj.data.template import encode_prompt, load_template
from zj.data.tokenizer import Tokenizer
from zj.inference import generate
from zj.train import DTYPES, start
from zj.weights import load_model


@dataclass(frozen=True)
class Config:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    data: tuple[str, ...] = ()  # files of dialogues whose held-out part is asked
    number: int = 3  # consultations, in the order in which training looks at its validation
    valid_fraction: float = 0.1  # the part that training held out
    max_tokens: int = 768  # longest prompt; older turns are left out to fit
    max_new_tokens: int = 200  # longest answer
    temperature: float = 0.0  # 0 takes the most probable token
    seed: int = 0  # of sampled answers
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    for flag in ("model", "data"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    device = start(config.device).device
    dialogues, _ = read(config.data, "dialogue")
    held_out = split(dialogues, config.valid_fraction)[1][: config.number]
    model, tokenizer = load_model(config.model, DTYPES[config.dtype], device), Tokenizer.load(config.model)
    template = load_template(Path(config.model))
    for number, dialogue in enumerate(held_out, 1):
        print(f"—— held-out patient {number} ({dialogue.department or dialogue.id}) ——")
        consult(config, model, tokenizer, template, dialogue)
    print(NOTICE)


def consult(config: Config, model, tokenizer: Tokenizer, template: str, dialogue: Dialogue) -> None:
    """Ask the dialogue's questions one by one; the model's own answers are the history."""
    history: tuple[Turn, ...] = ()
    for question, _ in dialogue.turns:
        prompt = Prompt(dialogue.id, question, history, dialogue.system)
        ids = encode_prompt(prompt, tokenizer, template, config.max_tokens)
        eos, warmth = (tokenizer.eos_id,), config.temperature
        (said,) = generate(model, [ids], config.max_new_tokens, temperature=warmth, eos_ids=eos, seed=config.seed)
        answer = tokenizer.decode(said).strip()
        print(f"患者：{question}\n模型：{answer}", flush=True)
        history += ((question, answer),)


if __name__ == "__main__":
    run_command(main, Config)
