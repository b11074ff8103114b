"""A model of this project in EleutherAI's lm-evaluation-harness (extra [harness]), for its tasks and their few-shot.

    python -m zj.eval.harness --model zj --model_args model=runs/sft --tasks ceval-valid_clinical_medicine

The harness gives texts: a context and what follows it are tokenized together and split at the length of the context
(`TemplateLM._encode_pair`). It is raw text, without a prompt format: --apply_chat_template is refused; chat prompts are
what `scripts/evaluate.py choice` has. One device; what the harness calls a batch is tokens_per_pack here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
except ImportError:
    message = "the harness needs the extra [harness]: pip install -e '.[harness]'"
    raise (SystemExit(message) if __name__ == "__main__" else ValueError(message)) from None

from zj.data.prompt_formats import DEFAULT, stored_template
from zj.eval.choice.likelihood import Request, score
from zj.inference import Sampling
from zj.llm.answers import answer_bar, sample
from zj.llm.client import open_model

MAX_NEW_TOKENS = 256  # of a task that does not say how many
SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}  # of a generation

Tokens = tuple[tuple[str, str], list[int], list[int]]  # (context and continuation), ids of each


@register_model("zj")
class HarnessModel(TemplateLM):
    """model_args: model and base (directories), dtype, device, tokens_per_pack, slots. ValueError as of a command."""

    def __init__(
        self,
        model: str,
        base: str = "",
        dtype: str = "fp32",
        device: str = "auto",
        tokens_per_pack: int = 4096,
        slots: int = 32,
        batch_size: Any = None,  # the harness passes them always
        max_batch_size: Any = None,
    ):
        super().__init__()
        device, _, index = device.partition(":")
        if index not in ("", "0"):
            raise ValueError(f"--device {device}:{index}: one device is used, CUDA_VISIBLE_DEVICES chooses which")
        template = stored_template(model) or DEFAULT  # what ends an answer
        self.loaded = open_model(model, "model_args: model", dtype, device, base, template)
        self.tokens_per_pack, self.slots = tokens_per_pack, slots
        self.positions = self.loaded.model.config.max_position_embeddings
        self._device = self.loaded.model.lm_head.weight.device

    @property
    def eot_token_id(self) -> int:
        return self.loaded.tokenizer.eos_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before an empty context: BOS, or EOS where there is none."""
        return self.loaded.tokenizer.eos_id if self.loaded.tokenizer.bos_id is None else self.loaded.tokenizer.bos_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **ignored: Any) -> list[int]:
        """With BOS before it, unless `add_special_tokens` is False or the tokenizer has none."""
        ids = self.loaded.tokenizer.encode(string)
        return ids if add_special_tokens is False else [*self.loaded.tokenizer.beginning, *ids]

    def _loglikelihood_tokens(self, requests: Sequence[Tokens], **ignored: Any) -> list[tuple[float, bool]]:
        """(sum of log-probabilities, whether it is the greedy continuation). A prefix is computed once for its
        continuations; one that is too long loses its beginning, which is printed."""
        shortened, prepared = 0, list[Request]()
        for _, group in groupby(requests, key=lambda request: request[1]):
            members = list(group)
            prefix, continuations = members[0][1], [continuation for _, _, continuation in members]
            if not prefix or not all(continuations):
                raise ValueError(f"found {members[0][0]}: expected tokens before and after the split")
            room = self.positions + 1 - max(map(len, continuations))  # the last token is predicted, not read
            if room < 1:
                raise ValueError(f"found a continuation of more than {self.positions} tokens, the model's positions")
            shortened += len(prefix) > room
            prepared.append(Request(prefix[-room:], continuations))
        if shortened:
            print(f"{shortened:,} contexts shortened to the model's {self.positions:,} positions", file=sys.stderr)
        scores = score(self.loaded, prepared, self.tokens_per_pack)
        return [(one.logprob, one.greedy) for group_scores in scores for one in group_scores]

    def loglikelihood_rolling(self, requests: Iterable[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-probability of whole texts, in windows of the model's positions, each with as much before it as
        fits."""
        texts = [self.loaded.tokenizer.encode(request.args[0]) for request in requests]
        windows = [self._windows(ids) for ids in texts]
        scores = iter(score(self.loaded, [w for of_text in windows for w in of_text], self.tokens_per_pack))
        return [sum(next(scores)[0].logprob for _ in of_text) for of_text in windows]

    def _windows(self, ids: list[int]) -> list[Request]:
        most = self.positions
        found = []
        for start in range(0, len(ids), most):
            end = min(start + most, len(ids))
            before = ids[end - most - 1 : start] if start else [self.prefix_token_id]
            found.append(Request(before, [ids[start:end]]))
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Texts up to the first of the strings of "until", which is left out. Each is generated until EOS or
        max_gen_toks, and then cut."""
        texts: dict[int, str] = {}
        numbered = sorted(enumerate(requests), key=lambda pair: str(pair[1].args[1]))
        with answer_bar(len(requests)) as bar:
            for _, group in groupby(numbered, key=lambda pair: str(pair[1].args[1])):
                members = list(group)
                settings = dict(members[0][1].args[1])
                if unknown := settings.keys() - SETTINGS:
                    raise ValueError(
                        f"found generation_kwargs {', '.join(sorted(unknown))}, expected {sorted(SETTINGS)}"
                    )
                longest = int(settings.get("max_gen_toks", MAX_NEW_TOKENS))
                room = self.positions - longest
                if room < 1:
                    raise ValueError(f"found max_gen_toks {longest}, expected less than {self.positions} positions")
                prompts = [self.tok_encode(request.args[0])[-room:] for _, request in members]
                options = {"max_new_tokens": longest, "seed": 0, "slots": self.slots}
                answers = sample(self.loaded, prompts, _sampling(settings), bar, **options)
                for (number, _), answer in zip(members, answers, strict=True):
                    texts[number] = _until(self.loaded.tokenizer.decode(answer.ids), settings.get("until") or ())
        return [texts[number] for number in range(len(requests))]


def _sampling(settings: dict[str, Any]) -> Sampling:
    """Greedy, unless a task says do_sample."""
    if not settings.get("do_sample"):
        return Sampling(0.0)
    return Sampling(
        *(settings.get(name, value) for name, value in (("temperature", 1.0), ("top_p", 1.0), ("top_k", 0)))
    )


def _until(text: str, ends: str | Sequence[str]) -> str:
    for end in [ends] if isinstance(ends, str) else ends:
        text = text.partition(end)[0] if end else text
    return text


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
