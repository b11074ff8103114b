#!/usr/bin/env bash
# The claims of one paper, tested on the synthetic clinic's dermatology: each claim is two runs that differ in one thing,
# examined on the same questions. scripts/claims.py makes the table of docs/results.md out of the results of all seeds.
#   bash scripts/reproduce.sh zhongjing|iimedgpt|huatuogpt [--quick] [--seed S] [--seeds N] [--out DIR]
#   about 42 minutes a paper and seed on 2 cores (HuatuoGPT 22), --quick a few
#   --seed S: first seed (6); --seeds N: so many in a row (3)
#   Runs that several papers need are made once; a finished one is never made again, an interrupted one goes on.
#   Two stages run at a time; what each says stands in seed-N/logs.
set -euo pipefail
cd "$(dirname "$0")/.."

papers=()
quick=no
first=6
seeds=3
out=runs/reproduce
while [ $# -gt 0 ]; do
    case "$1" in
        zhongjing | iimedgpt | huatuogpt) papers+=("$1") ;;
        --quick) quick=yes ;;
        --seed) first="${2:?--seed needs a number}" && shift ;;
        --seeds) seeds="${2:?--seeds needs a number}" && shift ;;
        --out) out="${2:?--out needs a directory}" && shift ;;
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *) echo "reproduce.sh: error: $1: expected zhongjing, iimedgpt, huatuogpt, --quick, --seed S, --seeds N or --out DIR" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#papers[@]} -gt 0 ] || { echo "reproduce.sh: error: no paper; expected zhongjing, iimedgpt or huatuogpt" >&2 && exit 2; }
case "$seeds" in '' | *[!0-9]* | 0) echo "reproduce.sh: error: --seeds is $seeds, expected 1 or more" >&2 && exit 2 ;; esac
case "$first" in '' | *[!0-9]*) echo "reproduce.sh: error: --seed is $first, expected 0 or more" >&2 && exit 2 ;; esac

# Dialogues are counted so that all mixtures have as many tokens: a single-turn one has 0.6 of a multi-turn one's.
if [ "$quick" = yes ]; then
    out="$out-quick" size=80 vocabulary=1500 questions=60 practice=60 rankings=60 degraded=30 prompts=40 steps=2 tenth=16
    seven=80 one=11 half=54 singles=144 multis=87 requests=80 more=107 more_singles=15 cases=8 reals=172 distilleds=106 experiments=400
else
    size=3000 vocabulary=2400 questions=1000 practice=1600 rankings=700 degraded=750 prompts=1200 steps=34 tenth=660
    seven=3000 one=428 half=2030 singles=5390 multis=3258 requests=3000 more=3980 more_singles=568 cases=100 reals=6460 distilleds=3990 experiments=3000
fi
about=皮肤科

source scripts/environment.sh
source scripts/at_once.sh
environment ""
first_rows() { # number, file, new file
    [ -e "$3" ] || { head -n "$1" "$2" >"$3.part" && mv "$3.part" "$3"; }
}

# ---- what all papers share

data() { # the clinic, its tokenizer, and the mixtures of dialogues
    say "seed $seed: the synthetic clinic"
    at_once make singles zj.clinic --size $((3 * singles)) --files single
    at_once make clinic zj.clinic --size "$size"
    at_once make experiments zj.clinic.experiments --size "$experiments" \
        --files task-{extraction,triage,note,summary,drug-check,choice,exam} knowledge
    at_once make dialogues zj.clinic --size "$more" --files multi safety general
    at_once make manners zj.clinic.experiments --size "$reals" --files real distilled
    all_done
    mkdir -p "$run/data"
    first_rows "$seven" "$run/dialogues/multi.jsonl" "$run/data/multi-7.jsonl"
    first_rows "$one" "$run/singles/single.jsonl" "$run/data/single-1.jsonl"
    first_rows "$half" "$run/dialogues/multi.jsonl" "$run/data/multi-half.jsonl"
    first_rows "$half" "$run/singles/single.jsonl" "$run/data/single-half.jsonl"
    first_rows "$multis" "$run/dialogues/multi.jsonl" "$run/data/multi-all.jsonl"
    first_rows "$singles" "$run/singles/single.jsonl" "$run/data/single-all.jsonl"
    first_rows "$requests" "$run/dialogues/safety.jsonl" "$run/data/requests.jsonl"
    first_rows "$more_singles" "$run/singles/single.jsonl" "$run/data/single-more.jsonl"
    first_rows "$more" "$run/dialogues/safety.jsonl" "$run/data/requests-more.jsonl"
    first_rows "$prompts" "$run/clinic/prompt.jsonl" "$run/data/prompts.jsonl"
    first_rows "$degraded" "$run/clinic/ranking.jsonl" "$run/data/degraded.jsonl"
    tasks="$(echo "$run"/experiments/task-{extraction,triage,note,summary,drug-check,choice}.jsonl)"
    talk="$run/clinic/general.jsonl $run/data/requests.jsonl"
    others="$tasks $talk" # in every mixture
    [ -e "$run/tokenizer/tokenizer.model" ] ||
        python scripts/train_tokenizer.py --data "$run/clinic/pretrain.jsonl" "$run/data/multi-7.jsonl" \
            "$run/data/single-1.jsonl" $others --out "$run/tokenizer" --vocab-size "$vocabulary"
}

make() { # directory, module that fills it, flags
    local name="$1" module="$2"
    shift 2
    python -m "$module" --out "$run/$name" --seed "$seed" --about $about "$@"
}
fine_tune() { # name, model to start from ("" for random weights), files; 7:1 after pre-training is "sft"
    local name="$1" model="$2"
    shift 2
    python scripts/train_sft.py --config recipes/tiny/sft.toml ${model:+--model "$model"} --tokenizer "$run/tokenizer" \
        --data "$@" $others --seed "$seed" --valid-limit 200 --out "$run/$name"
}
pretrain() { # name, size
    python scripts/train_pretrain.py --config recipes/tiny/pretrain.toml --size "$2" --tokenizer "$run/tokenizer" \
        --data "$run/clinic/pretrain.jsonl" --seed "$seed" --out "$run/$1"
}
sft() { # the model of 7:1, and from its answers, ranked by the gold judge, the reward model
    fine_tune sft "$run/pretrain" "$run/data/multi-7.jsonl" "$run/data/single-1.jsonl"
    say "four own answers to each prompt, ranked by the gold judge; the reward model learns from them"
    python scripts/rank.py --model "$run/sft" --data "$run/clinic/prompt.jsonl" --limit "$practice" --slots 256 \
        --seed "$seed" --temperature 0.7 --sampled 4 --ties break --out "$run/data/ranked.jsonl"
    python scripts/rank.py --model "$run/sft" --data "$run/clinic/exam.jsonl" --limit "$rankings" --slots 256 \
        --seed "$seed" --temperature 0.7 --sampled 0 4 --out "$run/data/exam-degraded.jsonl" "$run/data/exam-own.jsonl"
    reward reward "$run/sft" "$run/data/ranked.jsonl" "$run/data/degraded.jsonl"
}
reward() { # name, model to start from, files; scored on rankings that no reward model has seen
    local name="$1" model="$2" kind
    shift 2
    [ -s "$1" ] || { nothing_to_learn "$name" && return; }
    python scripts/train_reward.py --config recipes/tiny/reward.toml --model "$model" --data "$@" --limit "$practice" \
        --seed "$seed" --out "$run/$name"
    for kind in own degraded; do
        [ ! -s "$run/data/exam-$kind.jsonl" ] || python scripts/score.py --reward "$run/$name" --kind ranking \
            --data "$run/data/exam-$kind.jsonl" --out "$run/scores-$name-$kind.jsonl"
    done
}
reinforce() { # name, recipe, model to start from, reward model, flags
    local name="$1" recipe="$2" model="$3" judge="$4"
    shift 4
    python scripts/train_ppo.py --config "recipes/tiny/$recipe.toml" --model "$run/$model" --reward "$run/$judge" \
        --data "$run/data/prompts.jsonl" --temperature 0.7 --seed "$seed" "$@" --out "$run/$name"
}
nothing_to_learn() { # name; a model of --quick is not understood, so that all its answers are alike to the judge
    [ "$quick" = yes ] || { echo "reproduce.sh: error: $1: all answers to each prompt tie" >&2 && exit 1; }
    echo "$1: all answers to each prompt tie, so there is nothing to learn from; left out"
}
exam() { # report, NAME=DIR of each model, the first is the baseline
    examine_at 0.7 "$@"
}
cooler() { # report, names: reinforcement sharpens answers; a lower temperature does so without any learning
    local report="$1" name models=()
    shift
    for name in "$@"; do
        models+=("$name=$run/$name")
    done
    examine_at 0.5 "cooler-$report" "${models[@]}"
}
examine_at() { # temperature, report, NAME=DIR
    local temperature="$1" report="$2"
    shift 2
    python scripts/judge.py --models "$@" --data "$run/clinic/exam.jsonl" --limit "$questions" --temperature $temperature \
        --slots 256 --seed "$seed" --out "$run/exam-$report.json"
}
exam_at_equal_kl() { # report, baseline, adapters of it, each also with two thirds and a third of its correction; NAME=DIR
    local report="$1" baseline="$2" name factor models
    models=("$baseline=$run/$baseline")
    shift 2
    for name in "$@"; do
        case "$name" in *=*) models+=("$name") && continue ;; esac
        for factor in 0.33 0.67; do
            [ -e "$run/scaled/$name-$factor/tokenizer.model" ] || python scripts/export.py scale --model "$run/$name" \
                --factor $factor --out "$run/scaled/$name-$factor"
            models+=("$name-$factor=$run/scaled/$name-$factor")
        done
        models+=("$name=$run/$name")
    done
    exam "$report" "${models[@]}"
}
patients() { # names of models, each with the same simulated patients
    local name
    for name in "$@"; do
        python scripts/evaluate.py patient --doctor "$run/$name" --about $about --count "$cases" --seed "$seed" \
            --slots 128 --out "$run/patients-$name"
    done
}

# ---- Zhongjing: pre-training, multi-turn data, where the reward model starts, K, RLHF, admitting not to know

zhongjing() {
    data
    say "seed $seed: pre-training; fine-tuning without it; the same with its tokens spent on more dialogues"
    at_once pretrain pretrain tiny
    at_once pretrain pretrain-nano nano
    at_once fine_tune_on_more_dialogues
    at_once fine_tune sft-scratch "" "$run/data/multi-7.jsonl" "$run/data/single-1.jsonl"
    all_done
    say "seed $seed: 7:1 and its reward model; single-turn, multi-turn; another order; a tenth of the dialogues, once and" \
        "ten times; a twentieth of the parameters"
    at_once sft
    at_once fine_tune_on_a_tenth sft-tenth-10 10
    at_once fine_tune sft-single "$run/pretrain" "$run/data/single-all.jsonl"
    at_once fine_tune sft-multi "$run/pretrain" "$run/data/multi-all.jsonl"
    seed=$((seed + 1000)) at_once fine_tune sft-again "$run/pretrain" "$run/data/multi-7.jsonl" "$run/data/single-1.jsonl"
    at_once fine_tune sft-nano "$run/pretrain-nano" "$run/data/multi-7.jsonl" "$run/data/single-1.jsonl"
    at_once fine_tune_on_a_tenth sft-tenth 1
    all_done
    say "seed $seed: PPO, and PPO where all wrong answers have become an admission of not knowing; the reward model from" \
        "the pre-trained model, and from as many answers ranked by twos and by fours; examinations"
    at_once admission
    at_once reinforce ppo ppo sft reward
    at_once exam stages "sft=$run/sft" "scratch=$run/sft-scratch" "single=$run/sft-single" \
        "multi=$run/sft-multi" "again=$run/sft-again" "tenth=$run/sft-tenth" "nano=$run/sft-nano"
    at_once patients sft sft-single sft-multi
    at_once reward reward-base "$run/pretrain" "$run/data/ranked.jsonl" "$run/data/degraded.jsonl"
    at_once knowledge sft sft-scratch sft-scratch-more
    at_once by_rank 4 $((practice / 2))
    at_once exam more "sft=$run/sft" "scratch-more=$run/sft-scratch-more" "tenth-10=$run/sft-tenth-10"
    at_once by_rank 2 "$practice"
    all_done
    at_once exam rlhf "sft=$run/sft" "ppo=$run/ppo" "admit=$run/ppo-admit"
    at_once cooler rlhf sft ppo
    at_once patients ppo
    all_done
}
fine_tune_on_more_dialogues() {
    python scripts/train_sft.py --config recipes/tiny/sft.toml --tokenizer "$run/tokenizer" --seed "$seed" \
        --data "$run/dialogues/multi.jsonl" "$run/data/single-more.jsonl" $tasks \
        "$run/dialogues/general.jsonl" "$run/data/requests-more.jsonl" --valid-limit 200 \
        --out "$run/sft-scratch-more"
}
fine_tune_on_a_tenth() { # name, epochs
    python scripts/train_sft.py --config recipes/tiny/sft.toml --model "$run/pretrain" --seed "$seed" --limit "$tenth" \
        --data "$run/data/multi-7.jsonl" "$run/data/single-1.jsonl" $others --epochs "$2" --out "$run/$1"
}
admission() {
    python scripts/rank.py --model "$run/sft" --data "$run/clinic/prompt.jsonl" --limit "$practice" --slots 256 \
        --seed "$seed" --temperature 0.7 --sampled 4 --ties break --all-wrong admit --out "$run/data/ranked-admit.jsonl"
    reward reward-admit "$run/sft" "$run/data/ranked-admit.jsonl" "$run/data/degraded.jsonl"
    reinforce ppo-admit ppo sft reward-admit
}
by_rank() { # K, prompts: a reward model from rankings of K answers, of as many answers for any K
    python scripts/rank.py --model "$run/sft" --data "$run/clinic/prompt.jsonl" --limit "$2" --slots 256 --seed "$seed" \
        --temperature 0.7 --answers "$1" --sampled "$1" --out "$run/data/ranked-$1.jsonl"
    reward "reward-k$1" "$run/sft" "$run/data/ranked-$1.jsonl"
}
knowledge() { # names of models: multiple choice about illnesses, half of them in the textbook alone
    local name
    for name in "$@"; do
        python scripts/evaluate.py choice --model "$run/$name" --data "$run/experiments/knowledge.jsonl" --by likelihood \
            --out "$run/knowledge-$name.json"
    done
}

# ---- IIMedGPT: tasks, single-turn to multi-turn 1:1, DPO in place of reward model and PPO; and what else learns from answers

iimedgpt() {
    data
    at_once pretrain pretrain tiny
    all_done
    say "seed $seed: 7:1 and its reward model; 1:1; without tasks; with all kinds of tasks but multiple choice"
    at_once sft
    at_once fine_tune sft-half "$run/pretrain" "$run/data/multi-half.jsonl" "$run/data/single-half.jsonl"
    at_once fine_tune_on_tasks sft-but-choice "$run"/experiments/task-{extraction,triage,note,summary,drug-check}.jsonl
    at_once fine_tune_on_tasks sft-no-tasks
    all_done
    say "seed $seed: PPO, and RLOO and GRPO as long as it takes; DPO and best-of-4; a control that learns random answers"
    at_once reinforce ppo ppo sft reward
    at_once reinforce rloo rloo sft reward --epochs 2 --max-steps $((steps * 3 / 2))
    at_once reinforce grpo grpo sft reward --epochs 2 --max-steps $((steps * 3 / 2))
    at_once best_of_4
    at_once dpo
    all_done
    at_once exam_at_equal_kl methods sft ppo rloo grpo dpo best-of-4 "random-of-4=$run/random-of-4"
    at_once cooler methods sft ppo rloo grpo dpo best-of-4 random-of-4
    at_once exam tasks "sft=$run/sft" "half=$run/sft-half" "no-tasks=$run/sft-no-tasks" "but-choice=$run/sft-but-choice"
    at_once solve_tasks sft sft-no-tasks sft-but-choice
    at_once patients sft sft-half
    at_once patients ppo dpo
    all_done
}
dpo() {
    python scripts/train_dpo.py --config recipes/tiny/dpo.toml --model "$run/sft" --data "$run/data/ranked.jsonl" \
        "$run/data/degraded.jsonl" --limit "$practice" --seed "$seed" --out "$run/dpo"
}
best_of_4() { # and the control
    python scripts/score.py --reward "$run/reward" --model "$run/sft" --best-of 4 --data "$run/data/prompts.jsonl" \
        --temperature 0.7 --max-new-tokens 160 --slots 256 --seed "$seed" --out "$run/data/scored.jsonl"
    for keep in best random; do
        python scripts/best_of_n.py --data "$run/data/prompts.jsonl" --scores "$run/data/scored.jsonl" --keep $keep \
            --seed "$seed" --out "$run/data/$keep-of-4.jsonl"
        # without validation the last step is published; the best one would be step 0 of the control
        python scripts/train_sft.py --config recipes/tiny/sft.toml --model "$run/sft" --data "$run/data/$keep-of-4.jsonl" \
            --lora.rank 16 --optim.lr 1e-3 --valid-fraction 0 --seed "$seed" --out "$run/$keep-of-4"
    done
}
fine_tune_on_tasks() { # name, files of tasks: in place of all tasks
    local name="$1" others="${*:2} $talk"
    fine_tune "$name" "$run/pretrain" "$run/data/multi-7.jsonl" "$run/data/single-1.jsonl"
}
solve_tasks() { # names of models
    local name
    for name in "$@"; do
        python scripts/answer.py --model "$run/$name" --data "$run/experiments/task-exam.jsonl" --slots 128 \
            --out "$run/tasks-$name.jsonl"
    done
}

# ---- HuatuoGPT: real, distilled and hybrid data; reinforcement learning from AI feedback, of the last two layers or all

huatuogpt() {
    data
    at_once pretrain pretrain tiny
    all_done
    say "seed $seed: as much real, distilled and hybrid data; then AI feedback on own answers and a reward model"
    first_rows $((reals / 2)) "$run/manners/real.jsonl" "$run/data/real-half.jsonl"
    first_rows $((distilleds / 2)) "$run/manners/distilled.jsonl" "$run/data/distilled-half.jsonl"
    first_rows "$distilleds" "$run/manners/distilled.jsonl" "$run/data/distilled-all.jsonl"
    at_once hybrid
    at_once fine_tune sft-real "$run/pretrain" "$run/manners/real.jsonl"
    at_once fine_tune sft-distilled "$run/pretrain" "$run/data/distilled-all.jsonl"
    all_done
    say "seed $seed: reinforcement of the last two layers or of all; examinations"
    if [ -e "$run/reward-ai" ]; then
        at_once reinforce rl-2 rl sft-hybrid reward-ai
        at_once reinforce rl-all rl sft-hybrid reward-ai --last-layers 0
    fi
    at_once exam data "hybrid=$run/sft-hybrid" "real=$run/sft-real" "distilled=$run/sft-distilled"
    at_once patients sft-real sft-distilled sft-hybrid
    all_done
    [ -e "$run/reward-ai" ] || return 0
    at_once exam_at_equal_kl rlaif sft-hybrid rl-2 rl-all
    at_once cooler rlaif sft-hybrid rl-2
    at_once patients rl-2 rl-all
    all_done
}
hybrid() { # the model of hybrid data, and from its answers, judged by AI feedback, a reward model
    fine_tune sft-hybrid "$run/pretrain" "$run/data/real-half.jsonl" "$run/data/distilled-half.jsonl"
    python scripts/sample_answers.py --models "$run/sft-hybrid" --data "$run/clinic/prompt.jsonl" --turn last \
        --closing-turns keep --prompts "$practice" --max-new-tokens 160 --slots 256 --out "$run/data/items.jsonl"
    python scripts/ai_feedback.py --data "$run/data/items.jsonl" --judge clinic --out "$run/feedback" || {
        local status=$?
        if [ -e "$run/feedback/rankings.jsonl" ] || [ ! -s "$run/feedback/report.json" ]; then exit "$status"; fi
        nothing_to_learn reward-ai && return
    }
    reward reward-ai "$run/sft-hybrid" "$run/feedback/rankings.jsonl"
}

for ((seed = first; seed < first + seeds; seed++)); do
    run="$out/seed-$seed" logs="$out/seed-$seed/logs"
    for paper in "${papers[@]}"; do
        say "$paper, seed $seed"
        "$paper"
    done
done
