#!/usr/bin/env bash
# The same stages on real Chinese medical text, with a small model: about half an hour on 2 CPU cores.
#   ZJ_DATA=DIR bash recipes/real/run.sh [OUT]
# DIR holds cmekg/diseases_1000.jsonl, bentsao/llama_data.json, medicalgpt/medical_sft_1K_format.jsonl,
# zhongjing/CMtMedQA_dev.json and zhongjing/huatuo26M_dev.json; none of it is part of this project.
set -euo pipefail
cd "$(dirname "$0")/../.."
data="${ZJ_DATA:?set ZJ_DATA to the folder of the data}"
out="${1:-runs/real}"
source scripts/environment.sh
environment ""

text="$data/cmekg/diseases_1000.jsonl $data/bentsao/llama_data.json $data/medicalgpt/medical_sft_1K_format.jsonl"
talk="$data/zhongjing/CMtMedQA_dev.json $data/zhongjing/huatuo26M_dev.json"

[ -e "$out/tokenizer/tokenizer.model" ] ||
    python scripts/train_tokenizer.py --data $text $talk --vocab-size 5000 --out "$out/tokenizer" --on-bad-row skip
python scripts/train_pretrain.py --config recipes/real/pretrain.toml --tokenizer "$out/tokenizer" --data $text --out "$out/pretrain"
python scripts/train_sft.py --config recipes/real/sft.toml --model "$out/pretrain" --data $talk --out "$out/sft"
python scripts/train_sft.py --config recipes/real/sft.toml --tokenizer "$out/tokenizer" --data $talk \
    --out "$out/sft-without-pretraining"
python scripts/consult.py --model "$out/sft" --data "$data/zhongjing/CMtMedQA_dev.json" --number 2
python scripts/compare_runs.py --runs "$out/pretrain" "$out/sft" "$out/sft-without-pretraining"
