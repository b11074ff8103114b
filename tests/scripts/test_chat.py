"""The chat as its user meets it: what is typed goes in, what is printed comes out."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scripts.chat import NOTICE, Chat, Config, whole_characters
from tests.line import unlist
from zj.cli import visible
from zj.data.prompt_formats import save_template
from zj.data.records import Prompt
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.template import encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.inference import generate
from zj.lora import adapter_parameters, add_adapter, remove_adapter
from zj.model import Llama, LlamaConfig
from zj.weights import load_model, save_llama, save_peft

ROOT = Path(__file__).resolve().parents[2]
POSITIONS = 96


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """base (a random model that never ends an answer), sft and dpo (adapters), all with tokenizer and template."""
    home = tmp_path_factory.mktemp("chat")
    tokenizer = train_tokenizer(["医生，我头痛三天了。请多休息，多喝水。"] * 4, home / "tokenizer", 300)
    config = LlamaConfig(len(tokenizer), 32, 64, 2, 4, 2, max_position_embeddings=POSITIONS)
    model = Llama(config)
    model.init_weights(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8)
        model.lm_head.weight[tokenizer.eos_id] = 0
        model.lm_head.weight[tokenizer.bos_id] = 0
    save_llama(model, home / "base")
    for seed, name in enumerate(("sft", "dpo")):
        add_adapter(model, name, rank=2, alpha=4)
        for weight in adapter_parameters(model, name).values():
            torch.nn.init.normal_(weight.data, std=0.5, generator=torch.Generator().manual_seed(seed))
        save_peft(model, name, home / name, base=home / "base")
        remove_adapter(model, name)
    for name in ("base", "sft", "dpo"):
        tokenizer.save(home / name)
        save_template(home / name, "ziya")
    return home


@pytest.fixture
def talk(command, monkeypatch):
    """talk(lines, flags...) is a whole session in this process."""

    def session(lines: list[str], *flags):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(line + "\n" for line in lines)))
        return command("chat", *flags)

    return session


def shown(answers: list[str]) -> list[str]:
    """As a terminal gets them: this model writes control characters."""
    return [visible(answer) for answer in answers]


def answers(out: str) -> list[str]:
    """What stdout holds where it is no terminal: answers, an empty line after each."""
    return out.split("\n\n")[:-1]


def expected(home: Path, model: str, *questions: str, new: int = 12, room: int | None = None) -> list[str]:
    """Greedy answers of a whole model, turn by turn, without anything of the chat."""
    llama, tokenizer = load_model(home / model), Tokenizer.load(home / model)
    history: tuple[tuple[str, str], ...] = ()
    for question in questions:
        ids = encode_prompt(Prompt("", question, history), tokenizer, "ziya", room)
        (said,) = generate(llama, [ids], new, temperature=0, eos_ids=(tokenizer.eos_id,))
        history += ((question, tokenizer.decode(said)),)
    return [answer for _, answer in history]


GREEDY = ("--max-new-tokens", "12", "--temperature", "0", "--device", "cpu")


def test_a_session_over_a_pipe(home, talk):
    """stdout has the answers and nothing else; stderr reads like a terminal without them."""
    lines = ["我头痛", "", "三天了", "/help", "/nonsense", "/exit", "never read"]
    done = talk(lines, "--model", home / "base", *GREEDY)
    assert done.status == 0
    assert done.out == "".join(f"{answer}\n\n" for answer in shown(expected(home, "base", "我头痛", "三天了")))
    assert done.err.startswith(NOTICE)
    assert "患者：我头痛\n" in done.err and "never read" not in done.err
    assert "/reset" in done.err and "no command /nonsense" in done.err
    assert "(cut at --max-new-tokens 12)" in done.err, "this model never ends an answer"


@pytest.mark.parametrize("word", ["/exit", "/quit", " /q "])
def test_every_word_for_leaving_leaves(home, talk, word):
    done = talk(["我头痛", word, "三天了"], "--model", home / "base", *GREEDY)
    assert done.status == 0 and len(answers(done.out)) == 1
    assert len(answers(talk(["我头痛", "/quiet", "三天了"], "--model", home / "base", *GREEDY).out)) == 2  # control


def test_reset_forgets(home, talk):
    first, again, after = answers(talk(["我头痛", "我头痛", "/reset", "我头痛"], "--model", home / "base", *GREEDY).out)
    assert first == after != again


def test_adapters_are_switched(home, talk):
    flags = ("--model", home / "base", "--adapter", home / "sft", home / "dpo", *GREEDY)
    lines = [
        "我头痛",
        "/adapter",
        "/adapter dpo",
        "/reset",
        "我头痛",
        "/adapter none",
        "/reset",
        "我头痛",
        "/adapter x",
    ]
    done = talk(lines, *flags)
    assert answers(done.out) == shown([expected(home, name, "我头痛")[0] for name in ("sft", "dpo", "base")])
    assert len(set(answers(done.out))) == 3
    assert "there are sft, dpo, none; sft answers" in done.err and "no adapter x" in done.err


def test_an_adapter_directory_alone_is_a_model(home, talk):
    done = talk(["我头痛", "/adapter sft"], "--model", home / "sft", *GREEDY)
    assert answers(done.out) == shown(expected(home, "sft", "我头痛"))
    assert "no adapters are loaded" in done.err


def test_the_oldest_turns_make_room(home, talk):
    """Ten turns of some 30 tokens do not fit into 96 positions; the answers are those to what the template keeps."""
    questions = [f"我头痛{n}天了" for n in range(6)]
    done = talk(questions, "--model", home / "base", *GREEDY)
    assert answers(done.out) == shown(expected(home, "base", *questions, room=POSITIONS - 12))
    note = f"(the oldest turns were left out: beside the answer there is room for {POSITIONS - 12} tokens)"
    notes = [note in part for part in done.err.split("患者：")[1:-1]]
    assert notes == sorted(notes) and not notes[0] and notes[-1], "from the turn on at which it happens"
    assert answers(done.out) != shown(expected(home, "base", *questions)), "the history should have been too long"


def test_a_question_that_is_too_long_alone_is_told_as_that(home, talk):
    done = talk(["我头痛", "很" * 200], "--model", home / "base", *GREEDY)
    first, second = done.err.split("患者：")[1:-1]
    assert "left out" not in first and "(the beginning of the question was left out" in second


def test_the_seed_decides(home, talk):
    def said(seed):
        flags = ("--max-new-tokens", "12", "--temperature", "1", "--top-p", "1", "--device", "cpu", "--seed", seed)
        return answers(talk(["我头痛"], "--model", home / "base", *flags).out)

    assert said("1") == said("1") != said("2")


# --- characters of several ids


def test_characters_come_whole(home):
    tokenizer = Tokenizer.load(home / "base")
    text = "头痛🙂，龘a 龘"
    ids = tokenizer.encode(text)
    assert len(ids) > len(text) + 4, "some characters should be spelled byte by byte"
    parts = list(whole_characters(ids, tokenizer))
    assert "".join(parts) == text
    assert not any("\ufffd" in part for part in parts)
    assert sum("🙂" in part for part in parts) == 1
    naive = [tokenizer.decode([id]) for id in ids]
    assert any("\ufffd" in part for part in naive), "negative control: id by id, the bytes show"


def test_bytes_that_never_become_a_character_are_shown_at_last(home):
    tokenizer = Tokenizer.load(home / "base")
    ids = tokenizer.encode("a龘")
    for cut in range(1, len(ids) + 1):
        assert "".join(whole_characters(ids[:cut], tokenizer)) == tokenizer.decode(ids[:cut])
    mixed = [*ids[:-1], *tokenizer.encode("b")]
    assert "".join(whole_characters(mixed, tokenizer)) == tokenizer.decode(mixed)


# --- Ctrl-C


@pytest.fixture
def endless(home, tmp_path) -> subprocess.Popen:
    """A chat, in a process of its own, whose answers nobody can wait for."""
    folder = tmp_path / "endless"
    shutil.copytree(home / "base", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 10**6}))
    unlist(folder / "config.json")
    flags = ["--model", str(folder), "--max-new-tokens", str(10**5), "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, str(ROOT / "scripts" / "chat.py"), *flags], env=environment, **pipes)
    yield process
    process.kill()
    process.communicate()


def until(words: str, process: subprocess.Popen) -> str:
    """What is printed to stderr up to these words."""
    seen = b""
    while not seen.endswith(words.encode()):
        byte = process.stderr.read(1)
        assert byte, f"it ended after {seen.decode(errors='replace')!r}"
        seen += byte
    return seen.decode(errors="replace")  # it may begin within a character


def say(line: str, process: subprocess.Popen) -> None:
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def test_ctrl_c_stops_an_answer_and_at_the_prompt_the_program(endless):
    for question in ("我头痛", "三天了"):  # the second one has the stopped answer in its history
        until("患者：", endless)
        say(question, endless)
        assert len(endless.stdout.read(40)) == 40, "the answer appears while it is written"
        endless.send_signal(signal.SIGINT)
        until("(stopped)\n", endless)
    until("患者：", endless)
    time.sleep(0.3)  # from the prompt to where the program waits
    endless.send_signal(signal.SIGINT)
    assert endless.wait(timeout=20) == 0
    assert endless.stderr.read() == b"\n"


def test_a_stopped_answer_is_kept(home, monkeypatch, capsys):
    """Ctrl-C during the fifth id: the text of five ids is the answer of this turn."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as `main` does, whatever started the tests
    speaker = Chat(Config(str(home / "base"), max_new_tokens=60, temperature=0.0, device="cpu"))
    new_ids = speaker._new_ids

    def pressed(ids, said):
        for token in new_ids(ids, said):
            if len(said) == 5:
                os.kill(os.getpid(), signal.SIGINT)
            yield token

    monkeypatch.setattr(speaker, "_new_ids", pressed)
    assert speaker.answer("我头痛") == "(stopped)\n"
    (whole,) = expected(home, "base", "我头痛", new=5)
    assert speaker.history == (("我头痛", whole),)
    with pytest.raises(KeyboardInterrupt):  # the answer over, Ctrl-C is Python's again
        os.kill(os.getpid(), signal.SIGINT)


# --- what is refused


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "--model is missing"),
        (["--model", "absent"], "absent"),
        (["--model", "{home}/base", "--adapter", "absent"], "absent"),
        (["--model", "{home}/base", "--adapter", "{home}/sft", "{home}/sft"], "the name sft is taken"),
        (["--model", "{home}/base", "--template", "nix"], "--template nix: unknown"),
        (["--model", "{home}/base", "--max-new-tokens", "96"], "--max-new-tokens is 96, expected 1 to 87"),
        (["--model", "{home}/base", "--max-new-tokens", "88"], "--max-new-tokens is 88, expected 1 to 87"),
        (["--model", "{home}/base", "--base", "{home}/base"], "--base {home}/base: nothing is read from it"),
        (["--model", "{home}/base", "--max-new-tokens", "-1"], "--max-new-tokens is -1"),
        (["--model", "{home}/base", "--temperature", "-1"], "temperature is -1.0"),
        (["--model", "{home}/base", "--top-p", "2"], "top_p is 2.0"),
        (["--model", "{home}/base", "--temprature", "1"], "did you mean --temperature"),
        (["--model", "{home}/base", "--system", "很" * 200], "--system"),
    ],
)
def test_one_line_and_status_2(home, talk, flags, words):
    done = talk(["我头痛"], *(flag.format(home=home) for flag in flags))
    assert done.status == 2
    assert done.err.count("\n") == 1 and words.format(home=home) in done.err


def test_an_adapter_with_another_tokenizer_is_refused_before_the_model_is_loaded(home, talk, tmp_path, monkeypatch):
    """The same directory with the same tokenizer answers: the control."""
    other = shutil.copytree(home / "sft", tmp_path / "other")
    flags = ("--model", home / "base", "--adapter", home / "dpo", other)
    assert talk([], *flags).status == 0
    train_tokenizer(["医生，我咳嗽三天了。请多休息，多喝水。"] * 4, other, 300)
    monkeypatch.setattr("scripts.chat.load_model", lambda *rest, **named: pytest.fail("loaded"))
    done = talk([], *flags)
    assert done.status == 2 and done.err.count("\n") == 1
    assert f"--adapter {other}: its tokenizer gives other ids than that of {home / 'base'}" in done.err


def test_activations_beyond_fp16_are_told_in_one_line(home, talk, tmp_path):
    """Each weight is finite in fp16, and so is each answer in fp32: the control."""
    model = load_model(home / "base")
    with torch.no_grad():
        for name in ("up_proj", "gate_proj", "down_proj"):
            model.get_parameter(f"model.layers.0.mlp.{name}.weight").fill_(3e4)
    large = shutil.copytree(home / "base", tmp_path / "large")
    save_llama(model, large)
    flags = ("--model", large, "--max-new-tokens", "2")
    assert talk(["我头痛"], *flags).status == 0
    done = talk(["我头痛"], *flags, "--dtype", "fp16")
    assert done.status == 2 and "--dtype: the logits are not finite" in done.err.splitlines()[-1]


def test_another_format_than_the_stored_one_is_told(home, talk, tmp_path):
    stored = shutil.copytree(home / "base", tmp_path / "huatuo")
    save_template(stored, "huatuo")
    done = talk([], "--model", stored, "--template", "ziya")
    assert done.status == 0
    assert done.err.startswith(f"warning: --template ziya: {stored} was trained with the format huatuo\n")
    assert "warning" not in talk([], "--model", home / "base", "--template", "ziya").err  # control
