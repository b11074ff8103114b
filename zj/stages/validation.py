"""What a validation of the cross-entropy stages computes: held-out loss, of all records and of each group; answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zj.data.batching import Group, parse_mix
from zj.data.sequences import Encoded
from zj.data.tokenizer import Tokenizer
from zj.inference import generate
from zj.model import Llama, sequence_logprobs
from zj.stages.setup import collate, cross_entropy, pack_indices
from zj.train import World


@torch.no_grad()
def held_out_losses(
    model: Llama,
    examples: Sequence[Encoded],
    names: Sequence[str],
    tokens_per_pack: int,
    adapter: str | None,
    world: World,
    before_pack: Callable[[], object] = lambda: None,
) -> tuple[float, dict[str, float]]:
    """Mean cross-entropy of the counted tokens, nats per token, dropout off: (of the first examples, of each group).

    names: of the group of each example; there may be fewer names than examples, then the others are left out.
    """
    model.eval()
    loss, tokens = 0.0, 0
    sums, counts = Counter(dict.fromkeys(sorted(set(names)), 0.0)), Counter(dict.fromkeys(sorted(set(names)), 0))
    for indices in pack_indices(examples, range(len(names)), tokens_per_pack, world):
        before_pack()
        packed, counted = collate(examples, indices)
        packed, counted = packed.to(world.device), counted.to(world.device)
        logprobs = sequence_logprobs(model, packed, counted, adapter)[0]
        loss += cross_entropy(logprobs, 1.0).item()
        tokens += int(counted.sum())
        of_each = zip(indices, packed.sums(-logprobs).tolist(), packed.sums(counted.long()).tolist(), strict=False)
        for index, nats, number in of_each:  # an empty pack has one sequence and no index
            sums[names[index]] += nats
            counts[names[index]] += number
    model.train()
    loss, tokens = world.sum(loss, tokens)  # type: ignore[assignment]
    sums, counts = world.add(sums), world.add(counts)  # type: ignore[assignment]
    return loss / max(tokens, 1), {name: sums[name] / max(counts[name], 1) for name in sums}


def first_overflow(model: Llama, *arguments: Any) -> str:
    """A clause that names the first block whose output is not finite in `held_out_losses(model, *arguments)`, or ""."""
    found: list[int] = []

    def note(number: int, block: nn.Module, inputs: Any, output: Tensor) -> None:
        if not torch.isfinite(output).all():
            found.append(number)

    blocks = list(model.model.layers)
    hooks = [block.register_forward_hook(partial(note, number)) for number, block in enumerate(blocks)]
    try:
        held_out_losses(model, *arguments)
    finally:
        for hook in hooks:
            hook.remove()
    world: World = arguments[-1]
    numbers = [number for part in world.gather(found) for number in part]
    return (
        f"; block {min(numbers)} of 0 to {len(blocks) - 1} is the first whose output is not finite" if numbers else ""
    )


def group_names(groups: Sequence[Group], mix: str = "") -> list[str]:
    """The name of each record's group: that of --mix, or its file's if there are several, or its number of turns."""
    weights, files = parse_mix(mix), {file for file, _ in groups}

    def name(group: Group) -> str:
        named = next((name for name in group if name in weights), "")
        return named or (group[0] if len(files) > 1 or not group[1] else group[1])

    return [name(group) for group in groups]


def format_losses(losses: dict[str, float], names: Iterable[str]) -> str:
    """ " (multi 1.2345 on 90, single 1.5432 on 6)", or "" of one group."""
    counts = Counter(names)
    parts = (f"{name} {loss:.4f} on {counts[name]:,}" for name, loss in losses.items())
    return f" ({', '.join(parts)})" if len(losses) > 1 else ""


def greedy_answers(
    model: Llama,
    prompts: list[list[int]],
    tokenizer: Tokenizer,
    eos_ids: Sequence[int],
    adapter: str | None,
    max_new_tokens: int = 64,
) -> list[dict[str, str]]:
    """Prompt and greedy answer as text, of each prompt that leaves room for one. Every rank computes them."""
    room = model.config.room_behind
    prompts = [prompt for prompt in prompts if room(len(prompt), 1) > 0]
    limits = [room(len(prompt), max_new_tokens) for prompt in prompts]
    answers = generate(model, prompts, limits, adapter=adapter, temperature=0.0, eos_ids=eos_ids)
    pairs = zip(prompts, answers, strict=True)
    return [{"prompt": tokenizer.decode(prompt), "answer": tokenizer.decode(answer)} for prompt, answer in pairs]
