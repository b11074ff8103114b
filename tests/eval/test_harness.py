"""The harness's model class, under a stand-in for the harness (tests/parity/test_harness.py has the real one)."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pytest
import torch

from zj.inference import generate
from zj.model import Packed


class TemplateLM:
    """What the class inherits of lm_eval.api.model: texts to ids, split at the length of the context."""

    def loglikelihood(self, requests):
        pairs = []
        for request in requests:
            context, continuation = request.args
            before = self.tok_encode(context) if context else [self.prefix_token_id]
            whole = self.tok_encode(context + continuation, **({} if context else {"add_special_tokens": False}))
            pairs.append((request.args, before, whole[len(before) :] if context else whole))
        return self._loglikelihood_tokens(pairs)


@pytest.fixture
def harness(line, monkeypatch):
    """The class on the line's SFT adapter."""
    for name in ("lm_eval", "lm_eval.api", "lm_eval.api.model", "lm_eval.api.registry"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    names = {}
    sys.modules["lm_eval.api.model"].TemplateLM = TemplateLM
    sys.modules["lm_eval.api.registry"].register_model = lambda name: lambda cls: names.setdefault(name, cls)
    monkeypatch.delitem(sys.modules, "zj.eval.harness", raising=False)
    module = import_module("zj.eval.harness")
    monkeypatch.delitem(sys.modules, "zj.eval.harness")
    assert names == {"zj": module.HarnessModel}
    model = module.HarnessModel(model=str(line.sft), device="cpu", batch_size=1, tokens_per_pack=200)
    with pytest.raises(ValueError, match="--device cuda:1: one device is used"):
        module.HarnessModel(model=str(line.sft), device="cuda:1")
    with torch.no_grad():
        model.loaded.model.lm_head.weight[model.eot_token_id, 0] -= 5  # never ends
    return model


def request(*args):
    return SimpleNamespace(args=args)


@torch.no_grad()
def whole_pass(lm, ids, start):
    logits = lm.loaded.model.logits(lm.loaded.model(Packed.of([ids])))[start - 1 : -1]
    targets = torch.tensor(ids[start:])
    return logits.log_softmax(-1).gather(1, targets[:, None]).sum().item(), logits.argmax(-1).equal(targets)


def test_likelihoods_are_those_of_a_whole_pass(harness):
    lm = harness
    pairs = [("头痛三天了。答案：", letter) for letter in "ABCD"] + [("咳嗽", "一周，请多休息"), ("", "头痛")]
    found = lm.loglikelihood([request(*pair) for pair in pairs])
    for (context, continuation), (logprob, is_greedy) in zip(pairs, found, strict=True):
        ids, start = lm.tok_encode(context + continuation), len(lm.tok_encode(context))
        expected, most_probable = whole_pass(lm, ids, start)
        assert logprob == pytest.approx(expected, abs=1e-5) and is_greedy is most_probable
    (likely,) = generate(lm.loaded.model, [prefix := lm.tok_encode("咳嗽")], 3, temperature=0)
    other = [*likely[:2], likely[2] + 1]
    pair = lm._loglikelihood_tokens([(("", ""), prefix, likely), (("", ""), prefix, other)])
    assert [is_greedy for _, is_greedy in pair] == [True, False] and not any(is_greedy for _, is_greedy in found)


def test_a_context_that_is_too_long_loses_its_beginning_and_says_so(harness, capsys):
    lm, most = harness, harness.positions
    prefix = [1, *[9] * (most + 50)]
    ((found, _),) = lm._loglikelihood_tokens([(("", ""), prefix, [7, 8])])
    ids = [*prefix, 7, 8][-(most + 1) :]  # the last token is not read
    assert found == pytest.approx(whole_pass(lm, ids, len(ids) - 2)[0], abs=1e-4)
    assert "1 contexts shortened" in capsys.readouterr().err
    with pytest.raises(ValueError, match="before and after the split"):
        lm._loglikelihood_tokens([(("a", ""), [1], [])])
    with pytest.raises(ValueError, match="more than"):
        lm._loglikelihood_tokens([(("a", "b"), [1], [5] * (most + 1))])


def test_a_whole_text_is_the_product_of_its_tokens_in_windows(harness):
    lm = harness
    lm.positions = 8
    text = "头痛三天了，请多休息，建议查血，按时复查。"
    ids, expected = lm.loaded.tokenizer.encode(text), 0.0
    for start in range(0, len(ids), 8):
        end = min(start + 8, len(ids))
        before = ids[end - 9 : start] if start else [lm.prefix_token_id]
        expected += whole_pass(lm, [*before, *ids[start:end]], len(before))[0]
    assert len(ids) > 16 and lm.loglikelihood_rolling([request(text), request("")]) == pytest.approx([expected, 0.0])


def test_texts_end_before_the_first_of_the_stop_strings(harness):
    lm = harness
    settings = {"until": [], "max_gen_toks": 12, "do_sample": False, "temperature": 0.0}
    prompts = ["我头痛三天了。", "我咳嗽一周了。"]
    whole = lm.generate_until([request(text, settings) for text in prompts])
    ids = generate(lm.loaded.model, [lm.tok_encode(text) for text in prompts], 12, temperature=0)
    assert whole == [lm.loaded.tokenizer.decode(one) for one in ids]
    end = whole[1][len(whole[1]) // 2]
    mixed = lm.generate_until([request(prompts[1], settings | {"until": [end, ""]}), request(prompts[0], settings)])
    assert mixed == [whole[1].partition(end)[0], whole[0]] and len(mixed[0]) < len(whole[1])
    with pytest.raises(ValueError, match="generation_kwargs num_beams"):
        lm.generate_until([request("头痛", {"num_beams": 2})])


def test_without_the_harness_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    monkeypatch.delitem(sys.modules, "zj.eval.harness", raising=False)
    with pytest.raises(ValueError, match=r"pip install -e '.\[harness\]'"):
        import_module("zj.eval.harness")
