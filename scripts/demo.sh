#!/usr/bin/env bash
# The whole line, from a bare checkout to an aligned small doctor: pre-training, fine-tuning, ranked answers, reward
# model, PPO and DPO on the synthetic clinic's dermatology, then an examination on questions that trained nothing.
#   bash scripts/demo.sh [--quick] [--seed S] [--seeds N] [--ranks N] [--family F] [--out DIR]
#   a seed takes 17 minutes on 2 cores, --quick 2; --seed S: first seed (0); --seeds N: so many in a row, each in a
#   directory of its own; --family llama or qwen3: the network that is trained
set -euo pipefail
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=600 # seconds that torchrun leaves a step after a signal (its own: 30)
trap 'exit 130' INT TERM # a stage that is interrupted saves and ends well; what follows must not begin
cd "$(dirname "$0")/.."

quick=no
first=0
seeds=1
ranks=1
family=llama
out=runs/demo
while [ $# -gt 0 ]; do
    case "$1" in
        --quick) quick=yes ;;
        --seed) first="${2:?--seed needs a number}" && shift ;;
        --seeds) seeds="${2:?--seeds needs a number}" && shift ;;
        --ranks) ranks="${2:?--ranks needs a number}" && shift ;;
        --family) family="${2:?--family needs a name}" && shift ;;
        --out) out="${2:?--out needs a directory}" && shift ;;
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *) echo "demo.sh: error: unknown flag $1 (--quick, --seed S, --seeds N, --ranks N, --family F, --out DIR)" >&2 && exit 2 ;;
    esac
    shift
done
for number in "--seeds $seeds" "--ranks $ranks"; do
    case "${number#* }" in '' | *[!0-9]* | 0)
        echo "demo.sh: error: ${number% *} is ${number#* }, expected 1 or more" >&2 && exit 2 ;;
    esac
done
case "$family" in
    llama) shape=tiny ;;
    qwen3) shape=tiny-qwen3 out="$out-qwen3" ;;
    *) echo "demo.sh: error: --family is $family, expected llama or qwen3" >&2 && exit 2 ;;
esac
case "$first" in '' | *[!0-9]*) echo "demo.sh: error: --seed is $first, expected 0 or more" >&2 && exit 2 ;; esac

if [ "$quick" = yes ]; then
    out="$out-quick"
    size=80 vocabulary=1500 practice=80 degraded=40 prompts=40 questions=40 rankings=40
else
    size=3000 vocabulary=2400 practice=2000 degraded=1500 prompts=1200 questions=2000 rankings=500
fi

source scripts/environment.sh
environment ""
train() { # stage, flags
    local script="scripts/train_$1.py"
    shift
    if [ "$ranks" -eq 1 ]; then
        python "$script" "$@"
    else
        torchrun --standalone --nproc-per-node "$ranks" "$script" --shard zero2 "$@"
    fi
}

line() { # seed, directory: all five stages and the examination
    local seed="$1" run="$2" clinic="$2/clinic"
    local dialogues="$clinic/multi.jsonl $clinic/single.jsonl $clinic/task.jsonl $clinic/general.jsonl $clinic/safety.jsonl"

    say "1/8 the synthetic clinic: a hand-written table of conditions becomes text, consultations and questions"
    python -m zj.clinic --out "$clinic" --size "$size" --seed "$seed" --about 皮肤科
    [ -e "$run/tokenizer/tokenizer.model" ] ||
        python scripts/train_tokenizer.py --data "$clinic/pretrain.jsonl" $dialogues --out "$run/tokenizer" \
            --vocab-size "$vocabulary"

    say "2/8 pre-training a tiny LLaMA from scratch"
    train pretrain --config recipes/tiny/pretrain.toml --size "$shape" --tokenizer "$run/tokenizer" \
        --data "$clinic/pretrain.jsonl" --seed "$seed" --out "$run/pretrain"

    say "3/8 supervised fine-tuning on consultations"
    train sft --config recipes/tiny/sft.toml --model "$run/pretrain" --data $dialogues \
        --seed "$seed" --out "$run/sft"

    say "4/8 four own answers to each practice question, ranked by the gold judge; where all tie, one is the clinic's"
    python scripts/rank.py --model "$run/sft" --data "$clinic/prompt.jsonl" --limit "$practice" --slots 256 --seed "$seed" \
        --temperature 0.7 --sampled 4 --ties break --out "$run/ranked.jsonl"
    python scripts/rank.py --model "$run/sft" --data "$clinic/exam.jsonl" --slots 256 --limit "$rankings" --seed "$seed" \
        --temperature 0.7 --sampled 0 4 --out "$run/held-out-degraded.jsonl" "$run/held-out-own.jsonl"

    say "5/8 the reward model learns to rank: the model's own answers, and the clinic's with faults put in"
    [ -e "$run/degraded.jsonl" ] || head -n "$degraded" "$clinic/ranking.jsonl" >"$run/degraded.jsonl"
    train reward --config recipes/tiny/reward.toml --model "$run/sft" --data "$run/ranked.jsonl" "$run/degraded.jsonl" \
        --seed "$seed" --out "$run/reward"

    say "6/8 PPO: the policy answers, the reward model judges"
    [ -e "$run/prompts.jsonl" ] || head -n "$prompts" "$clinic/prompt.jsonl" >"$run/prompts.jsonl"
    train ppo --config recipes/tiny/ppo.toml --model "$run/sft" --reward "$run/reward" \
        --data "$run/prompts.jsonl" --temperature 0.7 --seed "$seed" --out "$run/ppo"

    say "7/8 DPO: from its own ranked answers, without reward model and further sampling"
    train dpo --config recipes/tiny/dpo.toml --model "$run/sft" \
        --data "$run/ranked.jsonl" --seed "$seed" --out "$run/dpo"

    say "8/8 the examination: questions and harmful requests that trained nothing, judged without names"
    for kind in degraded own; do # none of the four answers is the model's own; all four are
        if [ -s "$run/held-out-$kind.jsonl" ]; then
            python scripts/score.py --reward "$run/reward" --kind ranking --data "$run/held-out-$kind.jsonl"
        else
            echo "held-out-$kind.jsonl: no ranking, all answers tie (a model of --quick is not understood)"
        fi
    done
    python scripts/judge.py --models "sft=$run/sft" "ppo=$run/ppo" "dpo=$run/dpo" --data "$clinic/exam.jsonl" \
        --limit "$questions" --temperature 0.7 --slots 256 --seed "$seed" --out "$run/report.json"
    python scripts/compare_runs.py --runs "$run/pretrain" "$run/sft" "$run/reward" "$run/ppo" "$run/dpo"
}

for ((seed = first; seed < first + seeds; seed++)); do
    if [ "$seeds" -eq 1 ]; then run="$out"; else run="$out/seed-$seed" && say "seed $seed"; fi
    line "$seed" "$run"
done
cat <<END

Talk to it:
    .venv/bin/python scripts/chat.py --model $run/ppo
Look at it (extra [plot]):
    .venv/bin/python scripts/plot.py --runs $run/reward $run/ppo $run/dpo --out $run/curves.png
END
