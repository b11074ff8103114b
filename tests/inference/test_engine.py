"""Generation against full forwards, the sampled distribution against its formula, and who may influence whom."""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from zj.inference import generate
from zj.inference.engine import Sampling, stream
from zj.lora import adapter_parameters, add_adapter, merge_adapter
from zj.model import Llama, LlamaConfig, Packed
from zj.model.cache import Cache
from zj.weights import load_llama

VOCABULARY = 64
PROMPTS = [[1, 5, 9, 33], [40], [1, 63, 62, 61, 60, 59, 58, 3], [7, 7], [1, 5, 9], [12, 30, 50, 11, 20]]
EOS = tuple(range(2, 12))  # of random weights one id would end a row too rarely


def make(kv_heads: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0) -> Llama:
    """Random, with weights large enough that every token before matters."""
    config = LlamaConfig(VOCABULARY, 32, 96, 2, 4, kv_heads)
    model = Llama(config).to(dtype)
    model.init_weights(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(32 if "lm_head" in name else 8)  # logits of size 10
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Llama:
    return make()


def with_adapter(model: Llama, name: str = "policy", dropout: float = 0.0) -> Llama:
    add_adapter(model, name, rank=2, alpha=4, dropout=dropout)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in adapter_parameters(model, name).values():
            weight.normal_(0, 0.2, generator=generator)
    return model.eval()


@torch.no_grad()
def next_logits(model: Llama, ids: list[int], adapter: str | None = None) -> torch.Tensor:
    """[V] after `ids`, by a forward over all of them."""
    return model.logits(model(Packed.of([ids]), adapter)[-1])


def greedy(model: Llama, prompt: list[int], new: int, eos=(), adapter=None, change=lambda logits, ids: logits):
    """What `generate` does at temperature 0, one whole forward a token."""
    ids = list(prompt)
    for _ in range(new):
        ids.append(int(change(next_logits(model, ids, adapter), ids).argmax()))
        if ids[-1] in eos:
            break
    return ids[len(prompt) :]


# --- the cache


def run_cached(model: Llama, adapter: str | None, spoil=lambda cache: None) -> float:
    """Largest difference of cached and full logits while sequences come, grow and go."""
    dice, worst = random.Random(0), 0.0
    cache = Cache(model.config, 4, 20, model.lm_head.weight.dtype, torch.device("cpu"))
    cache.stored.fill_(3.0)  # what lies behind a row's own tokens must not matter
    waiting, active = [list(p) for p in PROMPTS], []
    for step in range(12):
        new = [waiting.pop(0) for _ in range(min(len(waiting), 4 - len(active), 1 + step % 2))]
        packed = cache.pack([ids[-1:] for ids in active] + new)
        active += new
        with torch.no_grad():
            found = model.logits(model(packed, adapter, cache=cache)[packed.last])
        for row, ids in zip(found, active, strict=True):
            worst = max(worst, float((row - next_logits(model, ids, adapter)).abs().max()))
            ids.append(dice.randrange(VOCABULARY))
        if step % 3 == 2:  # not always the last one
            slot = dice.randrange(len(active))
            cache.drop(slot)
            active[slot] = active[-1]
            active.pop()
        spoil(cache)
    return worst


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_cached_logits_equal_a_full_forward(kv_heads):
    """fp64: logits of size 10, so 1e-10 leaves four digits for another order of summation."""
    assert run_cached(make(kv_heads), None) < 1e-10


def test_a_spoiled_cache_is_noticed():
    """Negative control: one number of one cached key."""

    def spoil(cache):
        cache.stored[0, 0, 0, 0, 0, 0] += 0.1

    assert run_cached(make(), None, spoil) > 1e-6


def test_cached_logprobs_follow_every_change_of_an_adapter():
    """fp32, before an adapter, with it, after training moved it, after merging."""

    def worst(model, adapter):
        return run_cached(model, adapter) / 10  # logits have size 10; the bound is on their relative error

    model = make(dtype=torch.float32)
    assert worst(model, None) < 1e-5
    with_adapter(model)
    assert worst(model, "policy") < 1e-5
    with torch.no_grad():
        for weight in adapter_parameters(model, "policy").values():
            weight.mul_(1.5)
    assert worst(model, "policy") < 1e-5 and worst(model, None) < 1e-5
    merge_adapter(model, "policy")
    assert worst(model, None) < 1e-5


# --- greedy


def test_greedy_is_the_argmax_of_full_forwards(model):
    expected = [greedy(model, prompt, 15, EOS) for prompt in PROMPTS]
    assert len({len(row) for row in expected}) > 2, "the rows should stop at different steps"
    assert generate(model, PROMPTS, 15, temperature=0, eos_ids=EOS, slots=3) == expected


def test_published_model_tells_its_published_story(shared_data):
    folder = shared_data / "stories260K"
    golden = json.loads((folder / "golden.json").read_text())
    story = load_llama(folder)
    (ids,) = generate(story, [[1]], 256, temperature=0, eos_ids=())
    assert [1, *ids] == golden["greedy_ids"][:257]
    sentencepiece = pytest.importorskip("sentencepiece")
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tok512.model"))
    assert tokenizer.decode(ids) == golden["greedy_from_bos_256_text"]


def test_adapter_is_honoured(model):
    adapted = with_adapter(make())
    with_it = generate(adapted, PROMPTS, 10, adapter="policy", temperature=0, eos_ids=())
    assert with_it != generate(adapted, PROMPTS, 10, temperature=0, eos_ids=())
    assert generate(adapted, PROMPTS, 10, temperature=0, eos_ids=()) == generate(
        model, PROMPTS, 10, temperature=0, eos_ids=()
    )
    merge_adapter(adapted, "policy")
    assert generate(adapted, PROMPTS, 10, temperature=0, eos_ids=()) == with_it


@pytest.mark.parametrize("penalty", [1.5, 0.7])
def test_repetition_penalty_equals_a_loop(model, penalty):
    def change(logits, ids):
        for token in set(ids):
            logits[token] = logits[token] * penalty if logits[token] < 0 else logits[token] / penalty
        return logits

    expected = [greedy(model, prompt, 15, change=change) for prompt in PROMPTS]
    assert generate(model, PROMPTS, 15, temperature=0, repetition_penalty=penalty, eos_ids=()) == expected
    assert expected != [greedy(model, prompt, 15) for prompt in PROMPTS]


# --- who may influence whom


def sample(model, prompts, **more):
    return generate(model, prompts, 12, **({"eos_ids": EOS, "top_p": 0.95} | more))


def test_a_row_depends_on_seed_and_prompt_only(model):
    """In fp64, where another order of summation moves a probability by 1e-15 and so no draw."""
    together = sample(model, PROMPTS)
    assert [sample(model, [prompt])[0] for prompt in PROMPTS] == together
    assert sample(model, PROMPTS[::-1]) == together[::-1]
    for slots in (1, 2, 5):
        assert sample(model, PROMPTS, slots=slots) == together
    assert sample(model, PROMPTS, seed=1) != together


def test_each_prompt_may_have_its_own_seed(model):
    prompts, seeds = [*PROMPTS, PROMPTS[0], PROMPTS[0]], [*range(len(PROMPTS)), 7, 7]
    together = sample(model, prompts, seed=seeds)
    alone = [sample(model, [prompt], seed=seed)[0] for prompt, seed in zip(prompts, seeds, strict=True)]
    assert together[:-1] == alone[:-1]
    assert together[-1] != alone[-1]  # the second one of an equal seed and prompt
    assert sample(model, PROMPTS, seed=[1] * len(PROMPTS)) == sample(model, PROMPTS, seed=1)


def test_prompts_that_wait_for_room_in_a_step(model, monkeypatch):
    together = sample(model, PROMPTS)
    monkeypatch.setattr(sys.modules[stream.__module__], "PROMPT_TOKENS", 5)  # some prompts are longer, and still let in
    assert sample(model, PROMPTS) == together


def test_copies_of_a_prompt_differ(model):
    rows = sample(model, [PROMPTS[0]] * 8 + [PROMPTS[1]])
    assert len(set(map(tuple, rows[:8]))) == 8
    assert rows[0] == sample(model, [PROMPTS[0]])[0] and rows[8] == sample(model, [PROMPTS[1]])[0]


def computed(model, prompts, limit=4, **more) -> list[int]:
    """Tokens that `generate` lets through the model, in each forward pass."""
    seen = []
    hook = model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0].tokens)))
    generate(model, prompts, limit, eos_ids=(), **more)
    hook.remove()
    return seen


def test_copies_of_a_prompt_compute_it_once_and_change_no_answer(model):
    """The first of K copies brings L tokens, each other one its last; 3 more a row make the 4 new ones."""
    long, short = list(range(12, 52)), [40]
    crowd = [long, long, PROMPTS[0], long, long, short, short, short]
    for slots in (2, 3, 8):
        alone = sample(model, crowd, slots=1)  # one after the other: nobody is there to copy from
        assert sample(model, crowd, slots=slots) == alone, slots
    for slots in (2, 4):  # the first one is a step ahead of the second, which so is there for the third to copy from
        assert sum(computed(model, [long] * 4, slots=slots)) == 40 + 3 + 4 * 3
    assert sum(computed(model, [long] * 4, slots=1)) == 4 * (40 + 3)


def test_copies_do_not_wait_for_a_row_that_is_done_at_once(model):
    assert computed(model, [PROMPTS[0]] * 50, 1, slots=50) == [50 * len(PROMPTS[0])]


def test_a_copy_comes_from_a_row_that_has_moved_on(model):
    """Limits that free the slots one by one; rows that copy stand where others have left."""
    crowd = [PROMPTS[2]] * 7 + [PROMPTS[0]] * 3
    limits = [2, 9, 3, 12, 1, 5, 7, 4, 12, 2]
    free = sample(model, crowd, eos_ids=(), slots=1)
    for slots in (2, 3, 4):
        rows = generate(model, crowd, limits, top_p=0.95, eos_ids=(), slots=slots)
        assert rows == [whole[:n] for whole, n in zip(free, limits, strict=True)]


def test_eos_ends_a_row_and_is_its_last_id(model):
    free = sample(model, PROMPTS, eos_ids=())
    assert all(len(row) == 12 for row in free)
    for row, whole in zip(sample(model, PROMPTS, slots=2), free, strict=True):
        first = next((at for at, token in enumerate(whole) if token in EOS), None)
        assert row == (whole if first is None else whole[: first + 1])


def test_each_prompt_may_have_its_own_limit(model):
    free = sample(model, PROMPTS, eos_ids=())
    limits = [3, 1, 12, 7, 2, 5]
    rows = generate(model, PROMPTS, limits, top_p=0.95, eos_ids=(), slots=2)
    assert rows == [whole[:n] for whole, n in zip(free, limits, strict=True)]


def test_stream_gives_ids_as_they_come(model):
    rows: dict[int, list[int]] = {index: [] for index in range(len(PROMPTS))}
    order = []
    for index, token in stream(model, PROMPTS, 12, Sampling(top_p=0.95), eos_ids=EOS):
        rows[index].append(token)
        order.append(index)
    assert list(rows.values()) == sample(model, PROMPTS)
    assert order[: len(PROMPTS)] == list(range(len(PROMPTS))), "every row gets its first id in the first step"
    assert generate(model, [], 5) == []


def test_nothing_outside_is_changed():
    model = with_adapter(make(), dropout=0.5)
    asked = {"adapter": "policy", "eos_ids": EOS}
    expected = generate(model, PROMPTS, 8, **asked)
    model.train()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    random_before = random.getstate()
    assert generate(model, PROMPTS, 8, **asked) == expected, "dropout is off"
    assert torch.equal(torch.get_rng_state(), before) and random.getstate() == random_before
    assert model.training and torch.is_grad_enabled()

    unfinished = stream(model, PROMPTS, 8, Sampling(), adapter="policy")
    next(unfinished)
    assert torch.is_grad_enabled() and not model.training
    unfinished.close()
    assert model.training
    with pytest.raises(ValueError, match="unknown adapter 'absent'"):
        generate(model, PROMPTS, 8, adapter="absent")
    assert model.training
    model(Packed.of(PROMPTS), "policy").sum().backward()  # it still trains
    model.eval()
    generate(model, PROMPTS, 2, adapter="policy")
    assert not model.training


# --- the distribution


COPIES = 4000


def draws(model: Llama, **how) -> Counter:
    """First tokens of many copies of one prompt."""
    rows = generate(model, [PROMPTS[0]] * COPIES, 1, slots=COPIES, eos_ids=(), **how)
    return Counter(token for (token,) in rows)


def chi_square(found: Counter, p: torch.Tensor) -> tuple[float, float]:
    """The statistic and a bound five standard deviations above its mean; rare tokens are put together."""
    common = [token for token in range(VOCABULARY) if p[token] * COPIES >= 5]
    cells = [(found[token], float(p[token]) * COPIES) for token in common]
    rest = (1 - float(p[common].sum())) * COPIES
    if rest >= 5:
        cells.append((COPIES - sum(n for n, _ in cells), rest))
    freedom = len(cells) - 1
    return sum((n - mean) ** 2 / mean for n, mean in cells), freedom + 5 * math.sqrt(2 * freedom)


def support(p: torch.Tensor, top_k: int, top_p: float) -> set[int]:
    """By definition, token by token: top-k first, then the fewest of these that reach top_p of their sum."""
    ranked = sorted(range(VOCABULARY), key=lambda token: -float(p[token]))[: top_k or None]
    total, kept, mass = sum(float(p[token]) for token in ranked), set(), 0.0
    for token in ranked:
        kept.add(token)
        mass += float(p[token])
        if mass >= top_p * total:
            break
    return kept


@pytest.fixture(scope="module")
def flat() -> Llama:
    """Smaller logits than `model`, so that many tokens are likely."""
    model = make(seed=3)
    with torch.no_grad():
        model.lm_head.weight.mul_(0.6)
    return model


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_samples_follow_the_softmax(flat, temperature):
    p = (next_logits(flat, PROMPTS[0]) / temperature).softmax(-1)
    statistic, bound = chi_square(draws(flat, temperature=temperature), p)
    assert statistic < bound


def test_the_coldest_temperature_is_greedy(flat):
    assert generate(flat, PROMPTS, 8, temperature=1e-3) == generate(flat, PROMPTS, 8, temperature=0)


def test_broken_weights_say_so():
    model = make()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="--dtype: the logits are not finite"):
        generate(model, [[1]], 1)


@pytest.mark.parametrize("how", [{}, {"temperature": 0}, {"top_p": 0.9}, {"top_k": 3}, {"repetition_penalty": 1.5}])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_logits_beyond_a_dtype_say_so(number, how):
    logits = torch.zeros(2, VOCABULARY)
    logits[1, 5] = number
    rows = [SimpleNamespace(random=random.Random(0), seen={3, 5}, left=1) for _ in range(2)]
    with pytest.raises(ValueError, match="--dtype: the logits are not finite"):
        Sampling(**how).choose(logits, rows).read()
    logits[1, 5] = -math.inf  # a token that cannot be
    assert 5 not in drawn(Sampling(**how), logits, rows)
    logits[1, 5] = number
    rows[1].left = 0
    assert len(drawn(Sampling(**how), logits, rows)) == 1, "of a row that has ended they do not matter"


def drawn(sampling, logits, rows):
    return [token for _, token in sampling.choose(logits, rows).read()]


def test_another_temperature_is_noticed(flat):
    """Negative control: ten percent are enough."""
    p = (next_logits(flat, PROMPTS[0]) / 1.1).softmax(-1)
    statistic, bound = chi_square(draws(flat, temperature=1.0), p)
    assert statistic > bound


@pytest.mark.parametrize("top_k, top_p", [(1, 1.0), (5, 1.0), (0, 0.5), (0, 1e-9), (0, 0.9), (8, 0.6), (1000, 1.0)])
def test_top_k_and_top_p_keep_exactly_their_support(flat, top_k, top_p):
    p = next_logits(flat, PROMPTS[0]).softmax(-1)
    kept = support(p, top_k, top_p)
    found = draws(flat, top_k=top_k, top_p=top_p)
    assert set(found) <= kept
    # a kept token with a mean of 20 draws is missed with probability e^-20
    among = p[list(kept)].sum()
    assert {token for token in kept if p[token] / among * COPIES > 20} <= set(found)
    cut = torch.zeros_like(p)
    cut[list(kept)] = p[list(kept)] / among
    if len(kept) > 1:
        statistic, bound = chi_square(found, cut)
        assert statistic < bound
        assert support(p, top_k, top_p) != support(p, 0, 1.0) or top_k >= VOCABULARY


@pytest.mark.parity
@pytest.mark.parametrize("how", [{"top_k": 7}, {"top_p": 0.7}, {"top_k": 9, "top_p": 0.6, "repetition_penalty": 1.4}])
def test_support_and_weights_are_those_of_transformers(flat, how):
    """The inverse of the running sum, read off at a fine grid of numbers, gives the probabilities themselves."""
    theirs = pytest.importorskip("transformers.generation.logits_process")
    logits, ids = next_logits(flat, PROMPTS[0])[None].float(), torch.tensor([PROMPTS[0]])
    ours = Sampling(temperature=0.8, **how)
    if penalty := how.get("repetition_penalty"):
        logits = theirs.RepetitionPenaltyLogitsProcessor(penalty)(ids, logits)
    scores = theirs.TemperatureLogitsWarper(0.8)(ids, logits)
    if top_k := how.get("top_k"):
        scores = theirs.TopKLogitsWarper(top_k)(ids, scores)
    if top_p := how.get("top_p"):
        scores = theirs.TopPLogitsWarper(top_p)(ids, scores)

    points = 20000
    grid = [SimpleNamespace(random=lambda at=n: (at + 0.5) / points) for n in range(points)]
    rows = [SimpleNamespace(random=number, seen=set(PROMPTS[0]), left=1) for number in grid]
    plain = next_logits(flat, PROMPTS[0])[None].float().expand(points, -1)
    found = Counter(drawn(ours, plain, rows))
    p = scores.softmax(-1)[0]
    assert set(found) == {token for token in range(VOCABULARY) if p[token] > 0}
    assert all(abs(found[token] / points - float(p[token])) < 2 / points for token in range(VOCABULARY))


# --- what is refused


@pytest.mark.parametrize(
    "change, words",
    [
        ({"prompts": [[1], []]}, "prompt 1 is empty"),
        ({"prompts": [[1, 64]]}, "prompt 0 holds id 64, expected 0 <= id < 64"),
        ({"prompts": [[-1]]}, "holds id -1"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": 1e-9}, "temperature is 1e-09"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_k": -1}, "top_k is -1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": [3, 3]}, "max_new_tokens is \\[3, 3\\]"),
        ({"seed": [3, 3]}, "found 2 seeds of 1 prompts"),
        ({"slots": 0}, "slots is 0"),
        ({"adapter": "absent"}, "unknown adapter 'absent'"),
    ],
)
def test_impossible_requests_are_refused(model, change, words):
    with pytest.raises(ValueError, match=words):
        generate(model, **({"prompts": [[1]], "max_new_tokens": 4} | change))
