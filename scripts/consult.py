"""Consultations with held-out patients: user turns come from held-out dialogues, the model answers as the doctor.

python scripts/consult.py --model runs/sft --data runs/sft/clinic/multi.jsonl --number 3
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from zj import NOTICE
from zj.cli import run_command
from zj.data.batching import split
from zj.data.prompt_formats import choose_template
from zj.data.readers import read
from zj.data.records import Dialogue, Prompt, Turn
from zj.data.template import encode_prompt, stop_ids
from zj.data.tokenizer import Tokenizer
from zj.inference import generate
from zj.llm.answers import check_answer_length
from zj.stages.held_out import RECIPE, about_training, held_out_by
from zj.train import DTYPES, start
from zj.weights import check_base_is_used, check_directory, check_tokenizer_fits, config_of, load_model


@dataclass(frozen=True)
class Config:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    data: tuple[str, ...] = ()  # files of dialogues; of what a run was trained on, the part that it held out is used
    template: str = ""  # prompt format (none: the one stored with the model)
    number: int = 3  # number of consultations, in the order of training's validation
    valid_fraction: float = 0.1  # share of the dialogues that training held out, where --model is not a run of zj
    max_tokens: int = 768  # tokens of the longest prompt; older turns are dropped to fit
    max_new_tokens: int = 200  # tokens of the longest answer
    temperature: float = 0.0  # of sampling; 0 is greedy
    seed: int = 0  # of sampled answers
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute


def main(config: Config) -> None:
    for flag in ("model", "data"):
        if not getattr(config, flag):
            raise ValueError(f"--{flag} is missing")
    check_directory("--model", config.model)
    device = start(config.device, config.dtype).device
    dialogues, report = read(config.data, "dialogue")
    print(report)
    patients = choose_patients(config, dialogues)[: config.number]
    check_base_is_used(config.base, config.model)
    positions = config_of(config.model, config.base, strict=False).max_position_embeddings
    check_answer_length(config.max_new_tokens, positions)
    room = positions - config.max_new_tokens
    if config.max_tokens > room:
        print(f"the model has positions for a prompt of {room} tokens beside the answer, not for {config.max_tokens}")
        config = replace(config, max_tokens=room)
    tokenizer, template = Tokenizer.load(config.model), choose_template(config.template, config.model)
    model = load_model(config.model, DTYPES[config.dtype], device, base=config.base, strict=False)
    check_tokenizer_fits(model, len(tokenizer))
    for number, dialogue in enumerate(patients, 1):
        print(f"—— patient {number} ({dialogue.department or dialogue.id}) ——")
        consult(config, model, tokenizer, template, dialogue)
    print(NOTICE)


def choose_patients(config: Config, dialogues: list[Dialogue]) -> list[Dialogue]:
    """Dialogues that the model was not trained on, in the order of validation; what they are is printed."""
    if not (Path(config.model) / RECIPE).is_file():
        print(f"patients: what training with --valid-fraction {config.valid_fraction} holds out")
        return split(dialogues, config.valid_fraction)[1]
    if trained := about_training(config.model, dialogues, config.data):
        if "held out" in trained:
            return split(held_out_by(config.model, dialogues, config.data, "--model"), 0)[0]
        print(trained)
    return split(dialogues, 0)[0]


def consult(config: Config, model, tokenizer: Tokenizer, template: str, dialogue: Dialogue) -> None:
    """Ask the dialogue's questions one by one; the model's own answers are the history."""
    history: tuple[Turn, ...] = ()
    for question, _ in dialogue.turns:
        prompt = Prompt(dialogue.id, question, history, dialogue.system)
        ids = encode_prompt(prompt, tokenizer, template, config.max_tokens)
        if len(encode_prompt(prompt, tokenizer, template)) > config.max_tokens:
            print(f"(older turns are left out of the prompt: --max-tokens {config.max_tokens})")
        eos_ids, length = stop_ids(tokenizer, template), config.max_new_tokens
        (new_ids,) = generate(model, [ids], length, temperature=config.temperature, eos_ids=eos_ids, seed=config.seed)
        answer = tokenizer.decode(new_ids).strip()
        print(f"患者：{question}\n模型：{answer}", flush=True)
        history += ((question, answer),)


if __name__ == "__main__":
    run_command(main, Config)
