#!/usr/bin/env bash
# All stages on real Chinese medical text, with a small model, on 2 CPU cores.
#   ZJ_DATA=DIR bash recipes/real/run.sh [OUT] [SIZE]     SIZE: mini (about an hour), or tiny (a quarter of it)
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
environment "[plot]"

text="$data/cmekg/diseases_1000.jsonl $data/bentsao/llama_data.json $data/medicalgpt/medical_sft_1K_format.jsonl"
talk="$data/zhongjing/CMtMedQA_dev.json $data/zhongjing/huatuo26M_dev.json"
pairs="$data/medicalgpt/dpo_zh_500.jsonl $data/medicalgpt/reward_test_medical100.jsonl"

[ -e "$out/tokenizer/tokenizer.model" ] ||
    python scripts/train_tokenizer.py --data $text $talk --vocab-size 5000 --out "$out/tokenizer" --on-bad-row skip
python scripts/train_pretrain.py --config recipes/real/pretrain.toml --size "$size" --tokenizer "$out/tokenizer" \
    --data $text --out "$out/pretrain"
python scripts/train_sft.py --config recipes/real/sft.toml --model "$out/pretrain" --data $talk --out "$out/sft"
python scripts/train_sft.py --config recipes/real/sft.toml --size "$size" --tokenizer "$out/tokenizer" --data $talk \
    --out "$out/sft-without-pretraining"
python scripts/consult.py --model "$out/sft" --data "$data/zhongjing/CMtMedQA_dev.json" --number 2
python scripts/train_reward.py --config recipes/real/reward.toml --model "$out/sft" --data $pairs --out "$out/reward"
python scripts/train_dpo.py --config recipes/real/dpo.toml --model "$out/sft" --data $pairs --out "$out/dpo"
python scripts/train_ppo.py --config recipes/real/ppo.toml --model "$out/sft" --reward "$out/reward" \
    --data "$data/zhongjing/CMtMedQA_dev.json" --out "$out/ppo"
python scripts/compare_runs.py --runs "$out/pretrain" "$out/sft" "$out/sft-without-pretraining" "$out/reward" \
    "$out/dpo" "$out/ppo"
python scripts/plot.py --runs "$out/reward" "$out/dpo" "$out/ppo" --out "$out/curves.png"
