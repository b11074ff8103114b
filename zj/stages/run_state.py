"""The state of a run: saving, resuming, validation, the result; and one step of the cross-entropy stages.

The loop itself is in each script.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from zj.data.template import stop_ids
from zj.data.tokenizer import Tokenizer
from zj.data.tokenizer_files import save_tokenizer
from zj.model import Llama, sequence_logprobs
from zj.stages.config import StageConfig
from zj.stages.encoded import Data
from zj.stages.setup import Pack, cross_entropy, seed_dropout
from zj.stages.validation import first_overflow, format_losses, greedy_answers, held_out_losses
from zj.train import (
    Explosion,
    Log,
    Optimizer,
    Rows,
    Stop,
    World,
    append_rows,
    gathered,
    keep_rows,
    publish_best,
    replace_folder,
    restore,
    save_checkpoint,
)
from zj.weights import save_llama, save_peft
from zj.weights.checksums import add_settings
from zj.weights.sharded import is_sharded, reshard

C = TypeVar("C", bound=StageConfig)


@dataclass
class Run(Generic[C]):
    """Everything that a checkpoint contains, and what is needed to write and to validate it."""

    out: Path
    config: C
    world: World
    model: Llama
    adapter: str | None
    base: str
    tokenizer: Tokenizer
    template: str
    optimizer: Optimizer
    best: float = math.inf  # lowest validation loss
    best_step: int = -1  # its step
    per_step: int = 1  # optimizer steps in one step of the run
    parts: dict[str, Any] = field(default_factory=dict)  # further parts of a checkpoint: heads, a second optimizer, …
    write: Callable[[Path], None] | None = None  # writes the result (None: the model or its adapter)
    stop: Stop = field(init=False)

    def __post_init__(self) -> None:
        self.stop = Stop(self.config.stop_after)
        whole = [w for w in self.optimizer.weights if not is_sharded(w)]
        assert self.config.shard == "none" or not whole, f"{len(whole)} weights were whole when the optimizer was made"

    @property
    def step(self) -> int:
        """Steps done."""
        return self.optimizer.steps // self.per_step

    def due(self, interval: int) -> bool:
        """Whether this step is a multiple of `interval`, or the last one."""
        return self.step % interval == 0 or self.optimizer.steps == self.optimizer.total_steps

    def save(self) -> None:
        """Write a checkpoint from which the same command resumes."""
        state: dict[str, Any] = {"best": self.best, "best_step": self.best_step, "ranks": self.world.size}
        state |= {"model": trainable_state(self.model), "optimizer": self.optimizer.state_dict()}
        for name, part in self.parts.items():
            state[name] = trainable_state(part) if isinstance(part, nn.Module) else part.state_dict()
        save_checkpoint(self.out, self.step, state, self.config.keep, self.world)

    def save_if_due(self) -> None:
        """Write a checkpoint every --save-every steps; on a signal or after --stop-after, save and exit."""
        stopping = self._is_stopping()
        if stopping or self.due(self.config.save_every):
            self.save()
        if stopping and self.optimizer.steps < self.optimizer.total_steps:
            self._leave()

    def stop_before_training(self) -> None:
        """As `save_if_due`, within the first validation, which may take long; it begins again when the run goes on."""
        if self.step == 0 and self._is_stopping():
            self.save()
            self._leave()

    def _is_stopping(self) -> bool:
        return self.world.sum(self.stop.requested())[0] > 0

    def _leave(self) -> None:
        self.world.print(f"{self.out}: stopped and saved after step {self.step}; the same command goes on")
        self.world.leave()
        sys.exit(0)

    def begin(self, log: Log, validate: Callable[[], dict[str, float]]) -> None:
        """The validation before the first step."""
        if self.step == 0:
            self.stop_before_training()
            log.write({"step": 0, **validate()})
            self.stop_before_training()

    @contextmanager
    def until_done(self, log: Log) -> Iterator[None]:
        """Context of the loop: an explosion saves and exits with status 1; after the loop the result is written."""
        log.start_clock()
        log.changes = self.config.resume_with
        try:
            yield
            self._check_last_step()
        except Explosion as error:
            step = -(-self.optimizer.steps // self.per_step)  # PPO's may end amid its optimizer steps
            if step > log.last:
                log.write({"step": step, **error.stats})
            self.save()
            message = f"{Path(sys.argv[0]).name}: stopped: {error}; saved after step {self.step}; {self._way_on()}"
            raise SystemExit(message if self.world.rank == 0 else 1) from None
        self.finish()
        log.close()

    def _check_last_step(self) -> None:
        """Explosion if the run ends in steps whose gradient was not finite: then the model is not to be published."""
        if skipped := max(optimizer.guard.skipped for optimizer in self._optimizers().values()):
            raise Explosion(
                f"the gradient was not finite in the last {skipped} steps, so nothing is published; lower --optim.lr, "
                f"look at the data, or take --dtype bf16 or fp32 ({self.out / 'best'}, if there, is from before that)"
            )

    def _optimizers(self) -> dict[str, Optimizer]:
        """Group of flags -> optimizer."""
        parts = {"optimizer": self.optimizer, **self.parts}
        return {name.removesuffix("izer"): part for name, part in parts.items() if isinstance(part, Optimizer)}

    def _way_on(self) -> str:
        """What a user may do after an explosion."""
        if self.optimizer.steps == self.optimizer.total_steps:
            return "no step is left to go on with: start again with another --out"
        group, exploded = max(self._optimizers().items(), key=lambda item: item[1].guard.in_a_row)
        rate = f"{group}.lr={exploded.config.lr / 10:.2g}"
        return f"to go on with a lower rate: the same command and --resume-with {rate}"

    def load(self, state: dict[str, Any] | None) -> None:
        """Resume from a checkpoint, if there is one; from now on a signal ends the run after the current step."""
        self.stop.listen()
        if state is not None:
            load_trainable_state(self.model, state["model"])
            self.optimizer.load_state_dict(state["optimizer"], list(state["model"].values()))
            self.best, self.best_step = state["best"], state.get("best_step", -1)
            for name, part in self.parts.items():
                if isinstance(part, nn.Module):
                    load_trainable_state(part, state[name])
                else:
                    part.load_state_dict(state[name])
            changed = [change.partition("=")[0] for change in self.config.resume_with.split(",")]
            for group, optimizer in self._optimizers().items():
                mine = [key for key in changed if key.startswith(f"{group}.")]
                optimizer.guard.start_anew(counts=bool(mine), rate=f"{group}.lr" in mine)
            changes = f" with {self.config.resume_with}" if self.config.resume_with else ""
            self.world.print(f"{self.out}: going on after step {self.step}{changes}")
            before, lora = state.get("ranks", self.world.size), self.config.lora
            if before != self.world.size and self.adapter and lora.dropout:
                found = f"{before} ranks before, {self.world.size} now"
                self.world.print(f"warning: {found}; --lora.dropout {lora.dropout} draws other masks")

    def validate(self, data: Data, log: Log) -> dict[str, float]:
        """Loss on held-out examples, sample answers to the prompts; the model with the lowest loss is in OUT/best."""
        if not data.valid:
            return {}
        names = data.valid_groups[: self.config.valid_limit]
        what = (self.model, data.valid, names, self.config.tokens_per_pack, self.adapter, self.world)
        loss, of_group = held_out_losses(*what, before_pack=self.stop_before_training)
        self.keep_best(loss, "" if math.isfinite(loss) else first_overflow(*what))
        with gathered(self.model, self.config.shard):
            ends = stop_ids(self.tokenizer, self.template)
            answers = greedy_answers(self.model, data.prompts, self.tokenizer, ends, self.adapter)
        self.write_samples([{"step": self.step, **row} for row in answers])
        log.say(f"step {self.step}: validation loss {loss:.4f} nats/token{format_losses(of_group, names)}")
        return {"valid_loss": loss} | {f"valid_loss_{name}": x for name, x in of_group.items() if len(of_group) > 1}

    def write_samples(self, rows: list[dict[str, Any]]) -> None:
        """Append rows, each with its step, to OUT/samples.jsonl."""
        if self.world.rank == 0 and rows:
            keep_rows(self.out / "samples.jsonl", lambda row: row["step"] < self.step)
            append_rows(self.out / "samples.jsonl", rows)

    def keep_best(self, loss: float, where: str = "") -> None:
        """Save the model to OUT/best if this validation loss is the lowest so far.

        A loss that is not finite is no loss: ValueError before the first step, Explosion later; `where` completes it.
        """
        if not math.isfinite(loss):
            found = f"the validation loss is {loss} at step {self.step}{where}"
            if self.step == 0:
                advice = ": fp16 ends at 65504, take bf16" if self.config.dtype == "fp16" else ""
                raise ValueError(f"--dtype {self.config.dtype}{advice}; {found}")
            raise Explosion(f"{found}; lower --optim.lr or look at the data")
        if loss < self.best:
            self.best, self.best_step = loss, self.step
            self._save_best()

    @property
    def best_loss(self) -> str:
        """What the last line of a run says of its validation."""
        if not math.isfinite(self.best):
            return "no validation"
        if self.best_step == 0 < self.step:
            return (
                f"but no validation loss was below the {self.best:.4f} before training, so the result is the model of "
                "step 0, unchanged: lower --optim.lr, or look at the data"
            )
        return f"best validation loss {self.best:.4f} at step {self.best_step}"

    def finish(self) -> None:
        """Publish OUT/best as the result of the run; where nothing called `keep_best` (PPO), that is the last model."""
        if not (self.out / "best").exists():
            self._save_best()
        self.world.on_rank_zero(lambda: publish_best(self.out))

    def _save_best(self) -> None:
        replace_folder(self.out / "best", self._write_result, self.world)

    def _write_result(self, folder: Path) -> None:
        """Write the input of the next stage and of the chat: model or adapter, tokenizer and template."""
        writes = self.world.rank == 0
        if writes:
            save_tokenizer(folder, self.tokenizer, self.template)
        if self.write is not None:
            self.write(folder)
        elif self.adapter is None:
            save_llama(self.model, folder, writes=writes, special_ids=self.tokenizer.special_ids)
        else:
            save_peft(self.model, self.adapter, folder, self.base, writes=writes, bottom=self.config.base)
        if writes:
            add_settings(folder)


def cross_entropy_step(run: Run, packs: list[Pack]) -> tuple[dict[str, float], int]:
    """One optimizer step on these packs of this rank: (metrics, tokens over all ranks)."""
    seed_dropout(run.config.seed, run.step, run.world)
    losses, counted_tokens = backward_cross_entropy(run, packs)
    stats = run.optimizer.step()
    loss = sum(loss.item() for loss in losses)
    loss, tokens = run.world.sum(loss, sum(len(packed.tokens) for packed, _ in packs))
    return {"loss": loss, "counted": counted_tokens, **stats}, int(tokens)


def backward_cross_entropy(run: Run, packs: list[Pack], weight: float = 1.0) -> tuple[list[Tensor], float]:
    """Add the gradient of weight * cross-entropy: (each pack's share of the loss, counted tokens over all ranks).

    The shares stay on the device, so that no pack waits for the one before it.
    """
    (counted_tokens,) = run.world.sum(sum(int(counted.sum()) for _, counted in packs))
    losses = []
    for packed, counted in packs:
        logprobs, _ = sequence_logprobs(run.model, packed, counted, run.adapter)
        loss = cross_entropy(logprobs, counted_tokens)
        run.optimizer.backward(weight * loss)
        losses.append(loss.detach())
    return losses, counted_tokens


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """The part of a model or a head that a checkpoint contains: the trainable weights by name."""
    reshard(module)
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


@torch.no_grad()
def load_trainable_state(module: nn.Module, state: dict[str, Tensor | Rows]) -> None:
    """Put a checkpoint's weights back."""
    parameters = trainable_state(module)
    assert parameters.keys() == state.keys(), "the checkpoint belongs to another model"
    for name, parameter in parameters.items():
        restore(parameter, state[name])
