#!/usr/bin/env bash
# All stages on real Chinese medical text, with a small model, on 2 CPU cores, and what can be measured of it.
#   ZJ_DATA=DIR bash recipes/real/run.sh [OUT] [SIZE]     SIZE: tiny (an hour of one core), or mini (some hours)
#   ZJ_JUDGE=MODEL of the endpoint in OPENAI_BASE_URL judges pairs of answers too; without it the reward model alone does.
# DIR holds cmekg/cmekg.jsonl.gz, bentsao/llama_data.json, medicalgpt/{medical_sft_1K_format,dpo_zh_500,
# reward_test_medical100}.jsonl, zhongjing/CMtMedQA_dev.json and zhongjing/huatuo26M_dev.json; none of it is part of
# this project.
set -euo pipefail
trap 'exit 130' INT TERM # a stage that is interrupted saves and ends well; what follows must not begin
cd "$(dirname "$0")/../.."
data="${ZJ_DATA:?set ZJ_DATA to the folder of the data}"
out="${1:-runs/real}"
size="${2:-mini}"
source scripts/environment.sh
environment "[plot,eval]"

distilled="$data/bentsao/llama_data.json" # answers that a model wrote from a knowledge graph
text="$data/cmekg/cmekg.jsonl.gz $data/medicalgpt/medical_sft_1K_format.jsonl"
multi="$data/zhongjing/CMtMedQA_dev.json"
single="$data/zhongjing/huatuo26M_dev.json"
pairs="$data/medicalgpt/dpo_zh_500.jsonl $data/medicalgpt/reward_test_medical100.jsonl"

say "pre-training"
[ -e "$out/tokenizer/tokenizer.model" ] ||
    python scripts/train_tokenizer.py --data $text $distilled $multi $single --vocab-size 5000 --out "$out/tokenizer" --on-bad-row skip
python scripts/train_pretrain.py --config recipes/real/pretrain.toml --size "$size" --tokenizer "$out/tokenizer" \
    --data $text --limit 4000 --out "$out/pretrain"

say "fine-tuning: all dialogues; without pre-training; single-turn, multi-turn, distilled; 5,900 of all and of distilled"
fine_tune() { # name, flags
    local name="$1"
    shift
    python scripts/train_sft.py --config recipes/real/sft.toml "$@" --out "$out/$name"
}
fine_tune sft --model "$out/pretrain" --data $multi $single
fine_tune sft-without-pretraining --size "$size" --tokenizer "$out/tokenizer" --data $multi $single
fine_tune sft-single --model "$out/pretrain" --data $single
fine_tune sft-multi --model "$out/pretrain" --data $multi
fine_tune sft-distilled --model "$out/pretrain" --data $distilled
fine_tune sft-hybrid --model "$out/pretrain" --data $multi $single $distilled --limit 5900
python scripts/consult.py --model "$out/sft" --data "$multi" --number 2

say "preferences: a reward model and PPO; DPO"
python scripts/train_reward.py --config recipes/real/reward.toml --model "$out/sft" --data $pairs --out "$out/reward"
python scripts/train_dpo.py --config recipes/real/dpo.toml --model "$out/sft" --data $pairs --out "$out/dpo"
python scripts/train_ppo.py --config recipes/real/ppo.toml --model "$out/sft" --reward "$out/reward" \
    --data "$multi" --out "$out/ppo"

say "measured on questions that no model was trained on: those that the fine-tuned model held out"
models=(sft sft-without-pretraining sft-single sft-multi sft-distilled sft-hybrid dpo ppo)
prefers() { # data, two of reference, shuffled and the models: in how many pairs does the reward model prefer the first?
    local on="$1" first="$2" second="$3" texts=()
    for name in "$first" "$second"; do
        case "$name" in reference | shuffled) texts+=("$name") ;; *) texts+=("$out/$on/answers-$name.jsonl") ;; esac
    done
    [ -e "$out/$on/$first-over-$second.jsonl" ] || python recipes/real/preferences.py pairs \
        "$out/$on/answers-sft.jsonl" "${texts[@]}" "$out/$on/pairs-$first-$second.jsonl"
    [ -s "$out/$on/pairs-$first-$second.jsonl" ] || return 0 # a run that only got worse leaves its model unchanged
    python scripts/score.py --reward "$out/reward" --kind ranking --data "$out/$on/pairs-$first-$second.jsonl" \
        --on-bad-row skip --out "$out/$on/$first-over-$second.jsonl"
}
measure() { # multi or single, its file
    local on="$1" data="$2" texts=()
    mkdir -p "$out/$on"
    for model in "${models[@]}"; do
        [ -e "$out/$on/loss-$model.json" ] ||
            python scripts/evaluate.py loss --model "$out/$model" --data "$data" --held-out-of "$out/sft" \
                --max-tokens 1024 --on-bad-row skip --out "$out/$on/loss-$model.json"
        python scripts/answer.py --model "$out/$model" --data "$data" --held-out-of "$out/sft" --on-bad-row skip \
            --turn each --closing-turns leave-out --max-tokens 256 --temperature 0.7 --slots 64 \
            --out "$out/$on/answers-$model.jsonl" # greedy answers of a small model repeat themselves without end
        texts+=("$model=$out/$on/answers-$model.jsonl")
    done
    [ -e "$out/$on/text.json" ] || python scripts/evaluate.py text --texts "${texts[@]}" --controls --against sft \
        --preset official llamafactory --out "$out/$on/text.json"

    prefers "$on" reference shuffled # the control: does the reward model know a question's answer from another's?
    prefers "$on" reference sft
    for model in "${models[@]:1}"; do # PPO was trained on these scores, DPO on the pairs behind them: for both no evidence
        prefers "$on" "$model" sft
    done
    python recipes/real/preferences.py rates "$out/$on/answers-sft.jsonl" "$out/$on"/*-over-*.jsonl
    for model in sft-without-pretraining dpo ppo; do
        [ -z "${ZJ_JUDGE:-}" ] || python scripts/evaluate.py pairwise --judge endpoint --judge-model "$ZJ_JUDGE" \
            --answers "$out/$on/answers-$model.jsonl" --against "$out/$on/answers-sft.jsonl" --prompt zhongjing \
            --controls 50 --out "$out/$on/judged-$model"
    done
}
measure multi "$multi"
measure single "$single"

runs=()
for run in pretrain "${models[@]}" reward; do
    runs+=("$out/$run")
done
python scripts/compare_runs.py --runs "${runs[@]}"
python scripts/plot.py --runs "$out/reward" "$out/dpo" "$out/ppo" --out "$out/curves.png"
