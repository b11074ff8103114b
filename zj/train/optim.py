"""From gradients to new weights: AdamW, schedule, fp16 loss scaling and the explosion guard behind one `step`.

Zhongjing, section 4.1: AdamW, a cosine schedule, "we halve loss during gradient explosion and decay learning rate".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from zj.cli import check_range
from zj.weights.sharded import full_tensor, is_sharded

from .checkpoint import Rows, restore
from .distributed import ALONE, World
from .sharding import add_gradients


@dataclass(frozen=True)
class Optim:
    lr: float = 7e-5  # peak learning rate
    schedule: Literal["cosine", "linear", "constant"] = "cosine"  # shape of the decay to 0 at the last step
    warmup: float = 0.03  # part of all steps in which the rate rises to its peak, 0 to 1
    weight_decay: float = 0.0  # decoupled, on matrices only
    beta1: float = 0.9  # AdamW, decay of the mean gradient
    beta2: float = 0.95  # AdamW, decay of the mean squared gradient
    eps: float = 1e-8  # AdamW, added to the root
    clip: float = 1.0  # largest gradient norm; a larger gradient is scaled down to it
    explosion: float = 10.0  # a norm over this many times its running mean is an explosion
    max_bad_steps: int = 5  # explosions in a row after which the run saves and stops

    def __post_init__(self) -> None:
        for name in ("lr", "warmup"):
            check_range(self, name, 0, 1, dashes="")
        for name in ("beta1", "beta2"):  # at 1 a mean never leaves its start, and its correction divides by 0
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 <= {name} < 1")
        check_range(self, "weight_decay", 0, dashes="")
        for name in ("eps", "max_bad_steps"):
            check_range(self, name, 0, above=True, dashes="")
        if not self.clip > 0:
            raise ValueError(f"clip is {self.clip}, expected more than 0")
        if not self.explosion > 1:
            raise ValueError(f"explosion is {self.explosion}, expected more than 1")


def learning_rate(step: int, total: int, config: Optim) -> float:
    """The rate of step 0, 1, ..., total - 1. It is above 0 from step 0 on; the decay would reach 0 at `total`."""
    warmup = min(total, math.ceil(config.warmup * total))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "constant":
        return config.lr
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    decay = 1 - progress if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return config.lr * decay


class Explosion(RuntimeError):
    """Gradients exploded too often in a row; raised in a consistent state, so that a checkpoint can be saved."""

    stats: dict[str, float] = {}  # statistics of the step, as `Optimizer.step` returns them


@dataclass
class Guard:
    """The treatment of a step whose gradient norm explodes.

    Finite but over `explosion` times the running mean: the loss of this step is halved. Not finite: the step is
    skipped. Either way all later learning rates are multiplied by DECAY. A norm of nothing but rounding, as where no
    answer differs from another, does not count. Constants: not stated in the paper.
    """

    explosion: float
    mean: float = 0.0  # running mean of ordinary norms
    seen: int = 0  # ordinary norms so far
    in_a_row: int = 0
    skipped: int = 0  # the last steps, as many as were not finite
    lr_scale: float = 1.0

    MEMORY = 0.98  # of the running mean
    FROM = 10  # norms needed before any is called an explosion
    DECAY = 0.9
    ROUNDING = 1e-6  # a norm up to this one is no measure of later norms

    def judge(self, norm: float) -> float:
        """The factor for this step's gradient: 1 ordinary, 0.5 exploded, 0 not finite."""
        if norm <= self.ROUNDING:
            self.in_a_row = self.skipped = 0
            return 1.0
        exploded = self.seen >= self.FROM and norm > self.explosion * self.mean
        if math.isfinite(norm) and not exploded:
            self.seen += 1
            memory = min(self.MEMORY, 1 - 1 / self.seen)  # a plain mean at first
            self.mean = memory * self.mean + (1 - memory) * norm
            self.in_a_row = self.skipped = 0
            return 1.0
        self.in_a_row += 1
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        self.lr_scale *= self.DECAY
        return 0.5 if math.isfinite(norm) else 0.0

    def start_anew(self, counts: bool, rate: bool) -> None:
        """For a run that goes on with other settings: it is given time again (`counts`), and its own rate (`rate`)."""
        self.in_a_row = 0 if counts else self.in_a_row
        self.lr_scale = 1.0 if rate else self.lr_scale


class Optimizer:
    """AdamW on fp32 weights, or on fp32 master copies of 16-bit ones; with schedule, clipping, loss scaling, Guard."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        config: Optim,
        total_steps: int,
        compute: torch.dtype,
        world: World = ALONE,
    ):
        """`compute`: dtype of the forward and backward pass; in fp16 the loss is scaled. Call this after `shard`."""
        self.weights = [p for p in parameters if p.requires_grad]
        assert self.weights, "nothing is trainable"
        self.masters = [p if p.dtype.itemsize >= 4 else p.detach().float().requires_grad_() for p in self.weights]
        matrices = [p for p in self.masters if p.ndim >= 2]
        vectors = [p for p in self.masters if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        betas = (config.beta1, config.beta2)
        self.adam = torch.optim.AdamW([g for g in groups if g["params"]], betas=betas, eps=config.eps, fused=True)
        self.guard = Guard(config.explosion)
        self.config, self.total_steps, self.steps, self.world = config, total_steps, 0, world
        self.sum = world.size if is_sharded(self.weights[0]) else 1  # FSDP2 averages gradients over the ranks
        device = self.weights[0].device.type
        self.scaler = torch.amp.GradScaler(device, enabled=compute == torch.float16, init_scale=2.0**13)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of one pack's share of the loss. All ranks must call it equally often."""
        self.scaler.scale(self.sum * loss).backward()
        for weight, master in zip(self.weights, self.masters, strict=True):
            if weight is not master and weight.grad is not None:
                gradient = weight.grad.float()
                master.grad = gradient if master.grad is None else master.grad.add_(gradient)
                weight.grad = None

    def step(self) -> dict[str, float]:
        """Unscale, check, clip and apply the gradients; returns statistics. Explosion after `max_bad_steps` in a row.

        The norm is the same on every rank, and so is the update.
        """
        lr = learning_rate(self.steps, self.total_steps, self.config) * self.guard.lr_scale
        add_gradients(self.masters, self.world)
        self.scaler.unscale_(self.adam)
        norm = full_tensor(nn.utils.get_total_norm([p.grad for p in self.masters if p.grad is not None])).item()
        # an fp16 overflow is left to the loss scaler as long as the scale can still decrease
        overflow = self.scaler.is_enabled() and not math.isfinite(norm) and self.scaler.get_scale() > 1
        factor = 0.0 if overflow else self.guard.judge(norm)
        if factor:
            self._move(lr, factor * min(1.0, self.config.clip / (norm + 1e-6)))
        if self.scaler.is_enabled():
            self.scaler.update()
        self.adam.zero_grad(set_to_none=True)
        self.steps += 1
        stats = {"lr": lr, "grad_norm": norm, "loss_factor": factor, "loss_scale": self.scaler.get_scale()}
        if self.guard.in_a_row >= self.config.max_bad_steps:
            error = Explosion(
                f"gradient norm {norm:.3g} at step {self.steps}: {self.guard.in_a_row} explosions in a row "
                f"(running mean {self.guard.mean:.3g}); look at the data, or at the learning rate"
            )
            error.stats = stats
            raise error
        return stats

    @torch.no_grad()
    def _move(self, lr: float, factor: float) -> None:
        if factor != 1.0:
            torch._foreach_mul_([p.grad for p in self.masters if p.grad is not None], factor)
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()
        for weight, master in zip(self.weights, self.masters, strict=True):
            if weight is not master:
                weight.copy_(master)

    def state_dict(self) -> dict:
        """Everything that the next step depends on, masters included."""
        return {
            "masters": {
                number: master.detach()
                for number, (weight, master) in enumerate(zip(self.weights, self.masters, strict=True))
                if weight is not master
            },
            "adam": self.adam.state_dict()["state"],
            "guard": vars(self.guard).copy(),
            "scaler": self.scaler.state_dict(),
            "steps": self.steps,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict, saved_weights: Sequence[Tensor | Rows] = ()) -> None:
        """Resume exactly; the checkpoint may be that of another number of ranks, or of other shards.

        `saved_weights`: the first weights as they were saved. Sharded ones are fp32, and masters of unsharded ones.
        """
        for number, (master, saved) in enumerate(zip(self.masters, saved_weights, strict=False)):
            if master is not self.weights[number]:
                restore(master, saved)
        for number, saved in state["masters"].items():  # where the weights are fp32 now, they are their own masters
            restore(self.masters[number], saved)
        fresh = self.adam.state_dict()
        parameters = [p for group in self.adam.param_groups for p in group["params"]]
        fresh["state"] = {index: _moments(parameters[index], saved) for index, saved in state["adam"].items()}
        self.adam.load_state_dict(fresh)
        self.guard = Guard(**state["guard"])
        self.scaler.load_state_dict(state["scaler"])
        self.steps = state["steps"]


def _moments(weight: Tensor, saved: dict[str, Tensor | Rows]) -> dict[str, Tensor]:
    """AdamW's state of one weight: its two means, and the step count, a scalar."""
    count = {"step": torch.empty(())}
    return {name: restore(count.get(name, torch.zeros_like(weight)), rows) for name, rows in saved.items()}
