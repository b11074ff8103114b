"""PPO steps of scripts/train_ppo.py and of trl's trainer (trl up to 1.12 has one)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from zj.data.prompt_formats import save_template
from zj.data.records import Prompt, as_json
from zj.data.template import encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.lora import ALL_LINEAR, add_adapter
from zj.model import LlamaConfig, ScalarHead
from zj.plan.job import Job
from zj.plan.measuring import digits_tokenizer
from zj.rl import CalibratedHead, Calibration
from zj.stages.config import Lora
from zj.stages.roles import save_reward
from zj.train import DTYPES

from .base import Base
from .limits import Machine, Piece, forward_flops, generation_seconds, training_flops
from .peers import silence_peers, tokenizer_for_trl

PHASES = ("sample", "judge", "learn")


def write_inputs(config: Any, base: Base) -> list[list[int]]:
    """Write base, untrained reward model and prompts; returns the prompts' ids."""
    folder, tokenizer, model = base.folder.parent, digits_tokenizer(base.folder), base.llama()
    add_adapter(model, "reward", rank=16, alpha=32, seed=config.seed)
    head = ScalarHead(model.config.hidden_size, config.seed).to(base.device)
    tokenizer.save(folder / "reward")
    save_template(folder / "reward", "ziya")
    save_reward(folder / "reward", model, CalibratedHead(head, Calibration()), str(base.folder), [[1, 2, 3]])
    prompts = draw_prompts(config, tokenizer)
    rows = [json.dumps(as_json(prompt)) for prompt in prompts]
    (folder / "prompts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [encode_prompt(prompt, tokenizer, "ziya") for prompt in prompts]


def draw_prompts(config: Any, tokenizer: Tokenizer) -> list[Prompt]:
    """Prompts for one warm-up step and the measured ones; each digit is one token."""
    rng = random.Random(config.seed)
    frame = len(encode_prompt(Prompt("", "0"), tokenizer, "ziya")) - 1
    lengths = [rng.randint(*config.ppo_prompt_tokens) - frame for _ in range(config.ppo_prompts * (config.rounds + 1))]
    return [Prompt(str(i), "".join(rng.choice("0123456789") for _ in range(n))) for i, n in enumerate(lengths)]


def zj_steps(config: Any, base: Base) -> tuple[list[float], dict[str, list[float]], float]:
    """(seconds per step, seconds per phase, peak MB with weights), without the first step."""
    folder = base.folder.parent
    flags = ("max_new_tokens", "ppo_epochs", "minibatches", "tokens_per_pack", "seed", "dtype", "device")
    arguments = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in flags]
    arguments += [f"--model={base.folder}", f"--reward={folder / 'reward'}", f"--data={folder / 'prompts.jsonl'}"]
    arguments += [f"--out={folder / 'ppo'}", f"--batch-size={config.ppo_prompts}", "--valid-fraction=0"]
    arguments += [f"--slots={slots_of(config)}"]
    arguments += [f"--max-tokens={max(1024, config.ppo_prompt_tokens[1] + config.max_new_tokens)}"]
    arguments += ["--compile"] * config.compile
    environment = os.environ | {"OMP_NUM_THREADS": str(config.threads)}
    script = Path(sys.argv[0]).with_name("train_ppo.py")
    subprocess.run([sys.executable, script, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    rows = [json.loads(line) for line in (folder / "ppo" / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["step"] > 1]
    phases = {phase: [row[f"seconds_{phase}"] for row in rows] for phase in PHASES}
    return [row["seconds"] for row in rows], phases, max(row["memory_gb"] for row in rows) * 1e3


def slots_of(config: Any) -> int:
    """Answers generated at a time."""
    return config.slots or config.ppo_prompts


def least_seconds(config: Any, prompts: list[int], machine: Machine) -> dict[str, float]:
    """Minimum per phase of an average step, with answers of --max-new-tokens."""
    recipe = SimpleNamespace(lora=Lora(rank=16), dtype=config.dtype)
    job, new = Job("ppo", recipe, LlamaConfig.named(config.size)), config.max_new_tokens
    steps = len(prompts) / config.ppo_prompts
    counted: list[Piece] = [(n + new, 0, new) for n in prompts]
    uncounted: list[Piece] = [(n + new, 0, 0) for n in prompts]
    judged = 2 * forward_flops(job, counted) + 2 * forward_flops(job, uncounted)
    learnt = config.ppo_epochs * (training_flops(job, counted) + training_flops(job, uncounted))
    batches = [prompts[at : at + config.ppo_prompts] for at in range(0, len(prompts), config.ppo_prompts)]
    slots = slots_of(config)
    sampled = sum(generation_seconds(job, batch, [new] * len(batch), machine, slots) for batch in batches)
    return {"sample": sampled / steps, "judge": judged / steps / machine.flops, "learn": learnt / steps / machine.flops}


# ---- trl


def trl_has_ppo() -> bool:
    with contextlib.suppress(ModuleNotFoundError):  # raised if the parent package is missing
        return find_spec("peft") is not None and find_spec("trl.experimental.ppo") is not None
    return False


def trl_seconds(config: Any, base: Base, prompts: list[list[int]]) -> list[float]:
    """Seconds per step without the first: policy and value with LoRA as zj's; the reference is the policy without."""
    silence_peers()
    from datasets import Dataset
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    dtype = DTYPES[config.dtype]
    lora = {"r": 16, "lora_alpha": 32, "target_modules": list(ALL_LINEAR)}
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=1, dtype=dtype) for _ in range(2)
    )
    value = inject_adapter_in_model(LoraConfig(**lora, task_type="SEQ_CLS"), value)
    value.score.weight.requires_grad_(True)
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=str(base.folder.parent / "trl"),
            per_device_train_batch_size=config.ppo_prompts,
            num_mini_batches=config.minibatches,
            num_ppo_epochs=config.ppo_epochs,
            response_length=config.max_new_tokens,
            total_episodes=len(prompts),
            temperature=1.0,
            num_sample_generations=0,
            use_cpu=not torch.cuda.is_available() or config.device == "cpu",
            gradient_checkpointing=False,
            bf16=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=config.seed,
        ),
        processing_class=tokenizer_for_trl(),
        model=AutoModelForCausalLM.from_pretrained(base.folder, dtype=dtype),
        ref_model=None,
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_list([{"input_ids": ids} for ids in prompts]),
        peft_config=LoraConfig(**lora, task_type="CAUSAL_LM"),
        callbacks=[Clock()],
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its metrics in every step
        trainer.train()
    return [end - began for began, end in zip(ends, ends[1:], strict=False)]
