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
for file in "$demo/sft/model.safetensors" "$demo/clinic/prompt.jsonl" "$demo/clinic/exam.jsonl"; do
    [ -e "$file" ] || { echo "rlaif.sh: error: no $file; DEMO is what bash scripts/demo.sh writes" >&2 && exit 2; }
done
source scripts/environment.sh
environment ""
prompts="$demo/clinic/prompt.jsonl"

say "1/5 four own answers to each of $number prompts"
python scripts/sample_answers.py --models "$demo/sft" --data "$prompts" --turn last --closing-turns keep --prompts "$number" \
    --max-new-tokens 160 --slots 128 --out "$out/items.jsonl"

say "2/5 AI feedback: the judge compares each two answers, in both orders"
python scripts/ai_feedback.py --data "$out/items.jsonl" --judge clinic --out "$out/feedback" || {
    status=$?
    [ -s "$out/feedback/report.json" ] && [ ! -e "$out/feedback/rankings.jsonl" ] && cat >&2 <<END
rlaif.sh: all answers to each prompt tie, so there is nothing to learn from. Look at the answers in $out/items.jsonl:
  all bad (the model of demo.sh --quick is not understood): train longer, with bash scripts/demo.sh
  all good, or few prompts: remove $out and ask more of them, as in bash recipes/tiny/rlaif.sh $demo 3000 $out
END
    exit "$status"
}

say "3/5 the reward model learns from the rankings"
python scripts/train_reward.py --config recipes/tiny/reward.toml --model "$demo/sft" --data "$out/feedback/rankings.jsonl" \
    --out "$out/reward"

say "4/5 reinforcement learning: the policy answers, the reward model judges"
python scripts/train_ppo.py --config recipes/tiny/rl.toml --model "$demo/sft" --reward "$out/reward" --data "$prompts" \
    --limit "$number" --out "$out/rl"

say "5/5 the examination: 2,000 questions that trained nothing, judged without names"
python scripts/judge.py --models "sft=$demo/sft" "rl=$out/rl" --data "$demo/clinic/exam.jsonl" --limit 2000 --slots 256 \
    --out "$out/report.json"
