"""PPO: the policy answers, the reward model scores, the policy moves towards answers that scored better than expected.

    python scripts/train_ppo.py --config recipes/tiny/ppo.toml --model runs/sft --reward runs/reward --out runs/ppo

Policy, reference, reward and value are four adapters (and two heads) on one frozen copy of the weights. The value role
says what was expected; with --advantage rloo or grpo the prompt's other answers do, and there is no value role.
Source: Zhongjing, section 3 "Reinforcement learning"; Schulman et al. 2017; Ziegler et al. 2019; HuatuoGPT, equation 1.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from zj.cli import check_range, run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, pack_plan, steps_per_epoch
from zj.data.prompt_formats import choose_template
from zj.data.sequences import Encoded
from zj.data.template import stop_ids
from zj.data.tokenizer import Tokenizer
from zj.lora import adapter_parameters
from zj.model import sequence_logprobs, sequence_values
from zj.plan.apply import apply_memory_plan
from zj.rl import (
    AdaptiveKL,
    Rollout,
    answer_rewards,
    evaluate_rollout,
    explained_variance,
    gae,
    grpo,
    kl_rewards,
    policy_loss,
    rloo,
    summary,
    value_loss,
    whiten,
)
from zj.rl.rollout import Packs
from zj.stages import setup
from zj.stages.config import Lora, check_adapter, need
from zj.stages.next_command import next_command
from zj.stages.ppo import answer, backward_ptx, minibatches
from zj.stages.preferences import read_prompts, read_ptx
from zj.stages.roles import Roles, RolesConfig, check_same_tokenizer, open_roles
from zj.stages.run_state import Run
from zj.train import DTYPES, Clock, Log, Optim, Optimizer, World, start
from zj.weights import check_tokenizer_fits


@dataclass(frozen=True)
class Config(RolesConfig):
    model: str = ""  # fine-tuned model that becomes policy and reference: the reward model's base, or an adapter of it
    data: tuple[str, ...] = ()  # files of prompts (of dialogues: their last question; none: the clinic)
    max_tokens: int = 1024  # longest prompt and answer together; older turns of the prompt are left out to fit
    max_new_tokens: int = 256  # longest answer, in tokens
    batch_size: int = 64  # prompts of one step, over all ranks
    answers: int = 1  # answers to each prompt (HuatuoGPT: k); rloo and grpo compare them, so at least 2
    slots: int = 32  # answers that a rank samples at a time; more are faster and need more memory
    temperature: float = 1.0  # of sampling; divides the logits of policy and reference
    beta: float = 0.05  # KL penalty in the reward, per nat
    kl_target: float = 0.0  # KL in nats per answer that beta is adapted to (0: beta is constant)
    kl_horizon: float = 10000.0  # answers over which beta adapts
    unfinished: float = -2.0  # score of an answer without EOS, instead of the reward model's (whose deviation is 1)
    gamma: float = 1.0  # discount of later rewards (gae alone)
    lam: float = 0.95  # 0 trusts the values, 1 the rewards (gae alone)
    ppo_epochs: int = 4  # passes over each step's answers
    minibatches: int = 2  # optimizer steps in each pass; each is on whole prompts, so at most --batch-size
    clip: float = 0.2  # the ratio of probabilities is clipped to 1 - clip to 1 + clip
    value_clip: float = 0.2  # how far a value may move in one step (gae alone)
    early_stop: float = 0.0  # k3 from the old to the new policy, nats per token, that ends a step's passes (0: off)
    ptx: float = 0.0  # weight of the cross-entropy on --ptx-data, nats/token, in every minibatch
    ptx_data: tuple[str, ...] = ()  # dialogues that the policy must not forget, without those that ask what is held out
    valid_every: int = 10  # steps between validations (0: once an epoch)
    valid_limit: int = 64  # most prompts of one validation
    save_every: int = 10  # steps between checkpoints
    lora: Lora = Lora(dropout=0.0)  # of a fresh policy adapter; an adapter of --model keeps its own
    optim: Optim = Optim(lr=5e-5, eps=1e-5, schedule="linear")  # of the policy
    value_optim: Optim = Optim(lr=1e-4, eps=1e-5, schedule="linear")  # of the value role (gae alone)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_adapter(self.lora, dropout=False)
        for name in ("max_new_tokens", "answers", "slots", "ppo_epochs", "minibatches"):
            check_range(self, name, 1)
        for name in ("beta", "kl_target", "early_stop", "ptx"):
            check_range(self, name, 0)
        for name in ("temperature", "kl_horizon", "clip", "value_clip"):
            check_range(self, name, 0, above=True)
        for name in ("gamma", "lam"):
            check_range(self, name, 0, 1)
        if not math.isfinite(self.unfinished):
            raise ValueError(f"--unfinished is {self.unfinished}, expected a number")
        if self.max_new_tokens >= self.max_tokens:
            raise ValueError(
                f"--max-new-tokens {self.max_new_tokens}: expected less than --max-tokens {self.max_tokens}"
            )
        if self.advantage != "gae" and self.answers < 2:
            why = f"--advantage {self.advantage} compares the answers to a prompt"
            raise ValueError(f"--answers is {self.answers}, expected at least 2: {why}")
        if self.minibatches > self.batch_size:
            raise ValueError(f"--minibatches is {self.minibatches}, expected at most --batch-size {self.batch_size}")
        if bool(self.ptx) != bool(self.ptx_data):
            raise ValueError("--ptx and --ptx-data: expected both or neither")


def main(config: Config) -> None:
    world = start(config.device, config.dtype)
    need(config, "model", "reward")
    check_same_tokenizer(config.model, config.reward, config.template)
    out, saved, config = setup.open_stage(config, "ppo", world)
    tokenizer, template = Tokenizer.load(config.model), choose_template(config.template, config.model)
    data = setup.data_files(config, out, world, default_files, "prompt")
    room = config.max_tokens - config.max_new_tokens
    train, valid = read_prompts(data, config, room, tokenizer, template, out, world)
    roles = open_roles(config, DTYPES[config.dtype], world)
    model, ptx = roles.model, read_ptx(config.ptx_data, config, tokenizer, template, world)
    check_tokenizer_fits(model, len(tokenizer))
    apply_memory_plan(model, "ppo", config, world)

    indices = epochs(train, config.seed)
    per_epoch = steps_per_epoch(len(train), config.batch_size)
    total, per_step = setup.total_steps(config, per_epoch), config.ppo_epochs * config.minibatches
    world.print(f"{len(train):,} prompts, {len(valid):,} held out; {total} steps")
    optimizer, value_optimizer = optimizers(config, roles, total * per_step, world)
    controller = AdaptiveKL(config.beta, config.kl_target or 1, config.kl_horizon if config.kl_target else float("inf"))
    run = Run(out, config, world, model, "policy", roles.base, tokenizer, template, optimizer, per_step=per_step)
    parts = {"value_head": roles.value_head, "value_optimizer": value_optimizer, "controller": controller}
    run.parts |= {name: part for name, part in parts.items() if part}
    run.load(saved)
    log = Log(out, run.step, total, world, config.tensorboard, shown=("score", "kl"))
    run.begin(log, lambda: validate(run, roles, valid, log))
    with run.until_done(log):
        while run.step < total:
            clock = Clock()
            # 1. Take prompts.
            epoch, chosen = batch(run.step, config.batch_size, indices)
            prompts = [train[index].ids for index in chosen for _ in range(config.answers)]
            # 2. The policy answers them.
            answers = answer(run, prompts, f"{config.seed}/rollout/{run.step}")
            clock.stop("sample")
            # 3. Log-probs of policy and reference (and a value) for every token, a score for every answer.
            rollout = measure(run, roles, prompts, answers)
            # 4. An unfinished answer (without EOS) gets a fixed score.
            scores = torch.where(rollout.finished, rollout.scores, config.unfinished)
            # 5. Rewards: the score on the last token, and the KL penalty on all.
            rewards = kl_rewards(rollout.logprobs, rollout.ref_logprobs, scores, rollout.bounds, controller.beta)
            # 6. Advantages: how much better each token was than expected, or each answer than the others to its prompt.
            advantages, returns = advantages_of(config, rollout, rewards)
            clock.stop("judge")
            # 7. Update the policy (and the value role) in several passes over the same answers.
            stats = learn(run, roles, rollout, advantages, returns, value_optimizer, ptx)
            clock.stop("learn")
            # 8. Adapt beta to the KL.
            metrics = {"beta": controller.beta, **summary(rollout, scores), **stats}
            if value_optimizer:
                metrics["explained_variance"] = explained_variance(rollout.values, returns)
            controller.update(metrics["kl"], len(prompts))
            # 9. Validate now and then, write the metrics, save.
            speed = log.time(sum(len(ids) for ids in rollout.sequences))
            validation = validate(run, roles, valid, log) if run.due(config.valid_every or per_epoch) else {}
            log.step(run.step, epoch=epoch, **metrics, **clock.seconds, **speed, **validation)
            run.save_if_due()
    world.print(f"{out}: done; talk to it: {next_command('chat', config, model=out)}")
    world.leave()


def optimizers(config: Config, roles: Roles, steps: int, world: World) -> tuple[Optimizer, Optimizer | None]:
    """(of the policy's adapter, of the value role's adapter and head or None without them)."""
    policy, dtype = adapter_parameters(roles.model, "policy").values(), DTYPES[config.dtype]
    optimizer = Optimizer(policy, config.optim, steps, dtype, world)
    if roles.value_head is None:
        return optimizer, None
    value = [*adapter_parameters(roles.model, "value").values(), *roles.value_head.parameters()]
    return optimizer, Optimizer(value, config.value_optim, steps, dtype, world)


def measure(run: Run[Config], roles: Roles, prompts: list[list[int]], answers: list[list[int]]) -> Rollout:
    """The rollout: log-probs, values and scores of the answers, from the four roles."""
    return evaluate_rollout(
        *(roles.model, prompts, answers, roles.reward, roles.value_head, packs_of(run)),
        temperature=run.config.temperature,
        eos_ids=stop_ids(run.tokenizer, run.template),
        gather=run.world.gather,
    )


def advantages_of(config: Config, rollout: Rollout, rewards: Tensor) -> tuple[Tensor, Tensor]:
    """(advantage of each token [R], return that its value should have been [R], or [0] without a value role).

    GAE is whitened. RLOO and GRPO give all tokens of an answer its one advantage: the whole answer is scored.
    """
    if config.advantage == "gae":
        advantages, returns = gae(rewards, rollout.values, rollout.bounds, config.gamma, config.lam)
        return whiten(advantages), returns
    compare = {"rloo": rloo, "grpo": grpo}[config.advantage]
    of_answers = compare(answer_rewards(rewards, rollout.bounds).view(-1, config.answers))
    return of_answers.flatten().repeat_interleave(rollout.bounds.diff()), rollout.values


def learn(
    run: Run[Config],
    roles: Roles,
    rollout: Rollout,
    advantages: Tensor,
    returns: Tensor,
    value_optimizer: Optimizer | None,
    ptx: list[Encoded],
) -> dict[str, float]:
    """All passes over the answers: losses and their statistics, averaged over the minibatches."""
    config, model, sums, done, left_out = run.config, roles.model, Counter[str](), 0, 0
    optimizers = [run.optimizer, value_optimizer] if value_optimizer else [run.optimizer]
    end = (run.step + 1) * run.per_step  # valid also after an explosion that ended this step early
    for minibatch in minibatches(len(rollout.sequences), config, run.step):
        tokens, kl = len(rollout.tokens_of(minibatch)), 0.0
        for answers, packed, response in rollout.packs(minibatch, packs_of(run)):
            at = rollout.tokens_of(answers)
            logprobs = sequence_logprobs(model, packed, response, "policy", config.temperature)[0][response]
            loss, stats = policy_loss(logprobs, rollout.logprobs[at], advantages[at], config.clip, tokens)
            run.optimizer.backward(loss)
            sums.update({"loss": loss.item(), **stats})
            kl += stats["approx_kl"]
            if value_optimizer and roles.value_head:
                values = sequence_values(model, packed, roles.value_head, "value")[response]
                loss, stats = value_loss(values, rollout.values[at], returns[at], config.value_clip, tokens)
                value_optimizer.backward(loss)
                sums.update({"value_loss": loss.item(), **stats})
        if config.ptx:
            sums["ptx_loss"] += backward_ptx(run, ptx)  # type: ignore[assignment]
        step, *value_step = [optimizer.step() for optimizer in optimizers]
        done, left_out = done + 1, left_out + [one["loss_factor"] for one in (step, *value_step)].count(0)
        if config.early_stop and run.world.sum(kl)[0] > config.early_stop:
            break
    for optimizer in optimizers:
        optimizer.steps = end  # a step stopped early counts as done, for schedule and step
    means = {name: number / done for name, number in run.world.add(sums).items()}
    counts = {"minibatches": done, "left_out": left_out}  # left_out: skipped updates of all roles
    of_value = {"value_grad_norm": value_step[0]["grad_norm"]} if value_step else {}
    return means | counts | of_value | step


def validate(run: Run[Config], roles: Roles, valid: list[Encoded], log: Log) -> dict[str, float]:
    """Answers to held-out prompts, with the same random numbers each time, written to samples.jsonl; their metrics."""
    config, examples = run.config, valid[: run.config.valid_limit]
    if not examples:
        return {}
    prompts = [prompt.ids for prompt in examples]
    rollout = measure(run, roles, prompts, answer(run, prompts, f"{config.seed}/valid"))
    scores = torch.where(rollout.finished, rollout.scores, config.unfinished)
    rows = []
    for index, (prompt, score) in enumerate(zip(examples, scores.tolist(), strict=True)):
        texts = {"prompt": run.tokenizer.decode(prompt.ids), "answer": run.tokenizer.decode(rollout.answer(index))}
        rows.append({"step": run.step, "where": prompt.where, "score": score, **texts})
    run.write_samples(rows)
    for row in rows[:2]:
        log.say(f"[score {row['score']:+.2f}] {row['answer']}")
    shown = ("score", "kl", "length", "eos_rate")
    metrics = {name: number for name, number in summary(rollout, scores).items() if name in shown}
    log.say(
        f"step {run.step}: {len(examples):,} held-out prompts, "
        + ", ".join(f"{name} {number:.2f}" for name, number in metrics.items())
    )
    return {f"valid_{name}": number for name, number in metrics.items()}


def packs_of(run: Run[Config]) -> Packs:
    """The function from lengths of prompts with their answers to this rank's forward passes."""
    return lambda lengths: pack_plan(lengths, run.config.tokens_per_pack, run.world.size)[run.world.rank]


if __name__ == "__main__":
    run_command(main, Config)
