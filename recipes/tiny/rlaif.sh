#!/usr/bin/env bash
# HuatuoGPT's reinforcement learning from AI feedback, on the clinic of a demo, in one command.
#   bash recipes/tiny/rlaif.sh [DEMO] [PROMPTS] [OUT]     DEMO: a run of scripts/demo.sh (runs/demo); PROMPTS: 1200
# The clinic's gold judge is the language model that ranks. A run that was interrupted goes on.
set -euo pipefail
trap 'exit 130' INT TERM # a stage that is interrupted saves and ends well; what follows must not begin
cd "$(dirname "$0")/../.."
demo="${1:-runs/demo}"
number="${2:-1200}"
out="${3:-runs/rlaif}"
source scripts/environment.sh
environment ""
prompts="$demo/clinic/prompt.jsonl"

python scripts/sample_answers.py --models "$demo/sft" --data "$prompts" --turn last --closing-turns keep --prompts "$number" \
    --max-new-tokens 160 --slots 128 --out "$out/items.jsonl"
python scripts/ai_feedback.py --data "$out/items.jsonl" --judge clinic --out "$out/feedback"
python scripts/train_reward.py --config recipes/tiny/reward.toml --model "$demo/sft" --data "$out/feedback/rankings.jsonl" \
    --out "$out/reward"
python scripts/train_ppo.py --config recipes/tiny/rl.toml --model "$demo/sft" --reward "$out/reward" --data "$prompts" \
    --out "$out/rl"
python scripts/judge.py --models "$demo/sft" "$out/rl" --data "$demo/clinic/exam.jsonl" --limit 300 --out "$out/report.json"
