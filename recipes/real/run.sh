#!/usr/bin/env bash
# All stages on real Chinese medical text, with a small model, on 2 CPU cores, and what can be measured of it.
#   ZJ_DATA=DIR bash recipes/real/run.sh [OUT] [SIZE]     SIZE: mini (two hours), or tiny (a quarter of it)
#   ZJ_JUDGE=MODEL of the endpoint in OPENAI_BASE_URL judges pairs of answers; without it the fine-tuned model does, and
#   the controls say what that is worth.
# DIR holds cmekg/diseases_1000.jsonl, bentsao/llama_data.json, medicalgpt/{medical_sft_1K_format,dpo_zh_500,
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
text="$data/cmekg/diseases_1000.jsonl $distilled $data/medicalgpt/medical_sft_1K_format.jsonl"
multi="$data/zhongjing/CMtMedQA_dev.json"
single="$data/zhongjing/huatuo26M_dev.json"
pairs="$data/medicalgpt/dpo_zh_500.jsonl $data/medicalgpt/reward_test_medical100.jsonl"

say "pre-training"
[ -e "$out/tokenizer/tokenizer.model" ] ||
    python scripts/train_tokenizer.py --data $text $multi $single --vocab-size 5000 --out "$out/tokenizer" --on-bad-row skip
python scripts/train_pretrain.py --config recipes/real/pretrain.toml --size "$size" --tokenizer "$out/tokenizer" \
    --data $text --out "$out/pretrain"

say "fine-tuning: all dialogues; without pre-training; single-turn, multi-turn, distilled; half of all and of distilled"
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

say "measured on what no run was trained on: the questions that the fine-tuned model held out"
models=(sft sft-without-pretraining sft-single sft-multi sft-distilled sft-hybrid dpo ppo)
for model in "${models[@]}"; do
    [ -e "$out/loss-$model.json" ] ||
        python scripts/evaluate.py loss --model "$out/$model" --data $multi $single --held-out-of "$out/sft" \
            --max-tokens 1024 --on-bad-row skip --out "$out/loss-$model.json"
    python scripts/answer.py --model "$out/$model" --data $multi $single --held-out-of "$out/sft" --on-bad-row skip \
        --closing-turns leave-out --max-tokens 256 --slots 64 --out "$out/answers-$model.jsonl"
done
texts=()
for model in "${models[@]}"; do
    texts+=("$model=$out/answers-$model.jsonl")
done
[ -e "$out/text.json" ] || python scripts/evaluate.py text --texts "${texts[@]}" --controls --against sft \
    --preset official llamafactory --out "$out/text.json"

prefers() { # two of reference, another and the models: in how many pairs does the reward model prefer the first?
    local first="$1" second="$2" texts=()
    for name in "$first" "$second"; do
        case "$name" in reference | another) texts+=("$name") ;; *) texts+=("$out/answers-$name.jsonl") ;; esac
    done
    python recipes/real/pairs.py "$out/answers-sft.jsonl" "${texts[@]}" "$out/pairs-$first-$second.jsonl"
    python scripts/score.py --reward "$out/reward" --kind ranking --data "$out/pairs-$first-$second.jsonl" \
        --out "$out/scores-$first-$second.jsonl"
}
prefers reference another # the control: what the reward model's word is worth
prefers reference sft
for model in "${models[@]:1}"; do
    prefers "$model" sft
done
judge() { # flags of the judge
    for model in sft-without-pretraining dpo ppo; do
        python scripts/evaluate.py pairwise --answers "$out/answers-$model.jsonl" --against "$out/answers-sft.jsonl" \
            --prompt zhongjing "$@" --out "$out/judged-$model"
    done
}
if [ -n "${ZJ_JUDGE:-}" ]; then
    judge --judge endpoint --judge-model "$ZJ_JUDGE" --controls 50
else
    judge --judge "$out/sft" --limit 20 --controls 20
fi
runs=()
for run in pretrain "${models[@]}" reward; do
    runs+=("$out/$run")
done
python scripts/compare_runs.py --runs "${runs[@]}"
python scripts/plot.py --runs "$out/reward" "$out/dpo" "$out/ppo" --out "$out/curves.png"
