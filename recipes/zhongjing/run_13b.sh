#!/usr/bin/env bash
# Zhongjing from the published weights to PPO, stage by stage, on one machine with 4 GPUs of 80 GB.
#   BASE=Ziya-LLaMA-13B-v1 DATA=DIR bash recipes/zhongjing/run_13b.sh [OUT]
# BASE: the model's directory, deltas already applied (scripts/export.py apply-delta). DATA holds corpus/ (pre-training),
# sft/ (consultations), rankings.jsonl (K = 4 ranked answers to each prompt) and prompts.jsonl.
# GPUS (4) and STOP_AFTER (none; a queue's time, e.g. 23h30m) may be set. Start the same command again at any time: what
# is finished is left alone, what was interrupted goes on. 仅供研究，不能代替医生。Research only, no substitute for a physician.
set -euo pipefail
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=1800 # seconds that torchrun leaves a step after a signal (its own: 30)
trap 'exit 130' INT TERM # a stage that is interrupted saves and ends well; what follows must not begin
base="${BASE:?set BASE to the directory of Ziya-LLaMA-13B-v1}" data="${DATA:?set DATA to the directory of the data}"
base="$(realpath "$base")" data="$(realpath "$data")" out="$(realpath -m "${1:-runs/zhongjing-13b}")" gpus="${GPUS:-4}"
cd "$(dirname "$0")/../.."

train() { # script, flags, --out DIR last: go on only if it came to its end
    printf '\n== %s\n' "$1"
    torchrun --standalone --nproc-per-node "$gpus" "$@" ${STOP_AFTER:+--stop-after "$STOP_AFTER"}
    [ -e "${!#}/adapter_config.json" ] || [ -e "${!#}/config.json" ] || { echo "stopped before its end; start this again" && exit 0; }
}

# Will it fit? Told before anything is loaded.
python scripts/plan.py --stage pretrain --recipe recipes/zhongjing/pretrain.toml --model "$base" --gpus "$gpus"
python scripts/plan.py --stage sft --recipe recipes/zhongjing/sft.toml --model "$base" --gpus "$gpus"
python scripts/plan.py --stage reward --recipe recipes/zhongjing/reward.toml --model "$base" --gpus "$gpus"
python scripts/plan.py --stage ppo --recipe recipes/zhongjing/ppo.toml --model "$base" --gpus "$gpus"

train scripts/train_pretrain.py --config recipes/zhongjing/pretrain.toml --model "$base" --data "$data/corpus" \
    --out "$out/pretrain"
# The adapters of all further stages stand on the pre-trained model, merged once: 26 GB. PPO shares it among its roles.
[ -e "$out/base" ] || { rm -rf "$out/base.part" && python scripts/export.py merge --model "$out/pretrain" --out "$out/base.part" &&
    mv "$out/base.part" "$out/base"; }
train scripts/train_sft.py --config recipes/zhongjing/sft.toml --model "$out/base" --data "$data/sft" \
    --out "$out/sft"
train scripts/train_reward.py --config recipes/zhongjing/reward.toml --model "$out/base" \
    --data "$data/rankings.jsonl" --out "$out/reward"
train scripts/train_ppo.py --config recipes/zhongjing/ppo.toml --model "$out/sft" --reward "$out/reward" \
    --data "$data/prompts.jsonl" --out "$out/ppo"

cat <<END

Talk to it:
    python scripts/chat.py --model $out/ppo --dtype fp16
END
