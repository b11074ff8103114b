"""Measure a model without training it.

    python scripts/evaluate.py loss --model runs/sft --data test.jsonl
    python scripts/evaluate.py loss --model runs/pretrain --kind document --data corpus/ --out loss.json
    python scripts/evaluate.py text --texts answers.jsonl --preset official llamafactory --out text.json
    python scripts/evaluate.py text --texts before=sft.jsonl after=ppo.jsonl --against before
    python scripts/evaluate.py pairwise --answers ppo.jsonl --against sft.jsonl --judge runs/judge --out runs/judged
    python scripts/evaluate.py rubric --answers ppo.jsonl --rubric criteria.jsonl --judge runs/judge --out runs/graded
    python scripts/evaluate.py human export --answers ppo.jsonl sft.jsonl --out items.jsonl --key key.jsonl
    python scripts/evaluate.py human import --judgements rankings/ --key key.jsonl --out human.json
    python scripts/evaluate.py patient --doctor runs/sft --about 皮肤科 --out examined
    python scripts/evaluate.py choice --model runs/sft --data cmb.json --shuffle 4 --out choice.json

loss: the cross-entropy of the counted tokens (answers and their EOS; of documents, all), nats per token, and the
perplexity exp(loss): of all records and of each group, a file's or, within one file, multi-turn and single-turn ones.
Models with different tokenizers are compared by nats per character: their tokens are not of one length.

text: BLEU, GLEU, ROUGE and Distinct of answers that scripts/answer.py wrote. The same answers get figures several times
apart by the convention. So each is of a named preset, with its signature and 95 % interval (docs/evaluation.md).

pairwise: a judge says which of two answers is better, in both orders, with a paper's own prompt; controls beside it.
rubric: a judge says which of a question's criteria an answer meets. human: answers without names to the ranking tool
(annotate.py import), and its judgements back (annotate.py export). Every reply of a judge is kept in OUT.

patient: conversations with simulated patients (HuatuoGPT, section 4.2.2): whether the doctor reaches the diagnosis,
what it asks, whether it is safe.

choice: accuracy in multiple choice, by the likelihood of letters and texts and by greedy replies, with its interval,
beside chance and what guesses without the question reach; docs/evaluation.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from zj import NOTICE
from zj.cli import check_range, run_command
from zj.cli.command import Commands
from zj.data.batching import group_of, order
from zj.data.prompt_formats import first_template
from zj.data.records import Dialogue, Document
from zj.data.report import too_long
from zj.data.template import encode_all
from zj.data.tokenizer import Tokenizer
from zj.eval.choice import ChoiceConfig, choice
from zj.eval.judges.human_command import HumanExportConfig, HumanImportConfig, human_export, human_import
from zj.eval.judges.pairwise import PairwiseConfig, pairwise
from zj.eval.judges.rubric_command import RubricConfig, rubric
from zj.eval.patient.command import PatientConfig, examine
from zj.eval.text.command import TextConfig, measure
from zj.inference.cpu import prepack_frozen
from zj.stages.config import need
from zj.stages.held_out import about_training, held_out_by
from zj.stages.setup import read_records, tell_positions
from zj.stages.validation import group_names, held_out_losses
from zj.train import ALONE, DTYPES, World, start, to_json, write_text
from zj.train.log import bar_interval
from zj.weights import check_base_is_used, check_tokenizer_fits, config_of, levels, load_model


@dataclass(frozen=True)
class LossConfig:
    model: str = ""  # Hugging Face model or PEFT adapter directory
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    data: tuple[str, ...] = ()  # files or directories of dialogues or documents (see --kind)
    kind: Literal["dialogue", "document"] = "dialogue"  # what the rows are read as
    held_out_of: str = ""  # directory of a run; only the records that it held out are measured (none: all)
    limit: int = 0  # most records, a fair sample of the data (0: all)
    template: str = ""  # prompt format (none: the one stored with the model)
    max_tokens: int = 0  # longest sequence, in tokens; older turns are left out to fit (0: the model's positions)
    tokens_per_pack: int = 4096  # tokens in one forward pass; changes memory only
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read
    out: str = ""  # file of results to write, JSON (none: only the lines on the terminal)
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the weights
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute

    def __post_init__(self) -> None:
        check_range(self, "limit", 0)
        check_range(self, "tokens_per_pack", 1)
        if self.max_tokens:
            check_range(self, "max_tokens", 2)


def loss(config: LossConfig) -> None:
    need(config, "model")
    out = Path(config.out)
    if config.out and out.exists():
        raise ValueError(f"--out {out}: is there already, nothing was done")
    check_base_is_used(config.base, config.model)
    tokenizer = Tokenizer.load(config.model)
    template = first_template(config.template, levels(config.model, config.base))
    shape = config_of(config.model, config.base, strict=False)
    max_tokens = config.max_tokens or shape.max_position_embeddings
    tell_positions(max_tokens, shape, ALONE)
    records = read_records(config.data, config.kind, config.on_bad_row)
    if config.held_out_of:
        records = held_out_by(config.held_out_of, records, config.data)
    if config.limit:  # not in the order of a split, whose beginning is what runs hold out
        records = [records[index] for index in order(len(records), 0, 0)[: config.limit]]
    if not config.held_out_of and (warning := about_training(config.model, records, config.data)):
        print(warning)
    examples, counts = encode_all(records, tokenizer, template, max_tokens)
    print(f"{counts}{too_long(counts.dropped, counts.records, 'dialogues', max_tokens)}")
    if not examples:
        raise ValueError(f"--data: nothing is left with --max-tokens {max_tokens} ({counts})")
    record_of = {record.where: record for record in records}
    names = group_names([group_of(record_of[example.where]) for example in examples])

    world = World(0, 1, start(config.device, config.dtype).device)
    model = load_model(config.model, DTYPES[config.dtype], world.device, base=config.base, strict=False)
    check_tokenizer_fits(model, len(tokenizer))
    prepack_frozen(model.requires_grad_(False))
    with tqdm(unit="pack", mininterval=bar_interval(), dynamic_ncols=True) as bar:
        mean, of_group = held_out_losses(model, examples, names, config.tokens_per_pack, None, world, bar.update)
    characters = sum(counted_characters(record) for record in record_of.values())
    losses = {"all": mean} | ({} if len(of_group) == 1 else of_group)
    for name, nats in losses.items():
        number = len(names) if name == "all" else names.count(name)
        print(f"{name}: {nats:.4f} nats/token, perplexity {math.exp(nats):.2f}, {number:,} sequences")
    result = {"model": config.model, "template": template, "losses": losses, "tokens": counts.counted}
    if counts.shortened or counts.dropped:
        print("no nats/character: it would count what was left out")
    else:
        result["nats_per_character"] = mean * counts.counted / characters
        print(f"{result['nats_per_character']:.4f} nats/character")
    if config.out:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, to_json(result, indent=1) + "\n")
    print(NOTICE)


def counted_characters(record: Dialogue | Document) -> int:
    """Characters of what is counted: a document's text, the answers that are trained on."""
    if isinstance(record, Document):
        return len(record.text)
    trained = record.trained or (True,) * len(record.turns)
    return sum(len(answer) for (_, answer), yes in zip(record.turns, trained, strict=True) if yes)


COMMANDS: Commands = {
    "loss": (loss, LossConfig),
    "text": (measure, TextConfig),
    "pairwise": (pairwise, PairwiseConfig),
    "rubric": (rubric, RubricConfig),
    "human": {"export": (human_export, HumanExportConfig), "import": (human_import, HumanImportConfig)},
    "patient": (examine, PatientConfig),
    "choice": (choice, ChoiceConfig),
}

if __name__ == "__main__":
    run_command(COMMANDS)
