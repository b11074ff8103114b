#!/usr/bin/env bash
# From a bare checkout to a small Chinese doctor that one can talk to: pre-training and fine-tuning on the synthetic
# clinic, then a table of what each stage brought, three consultations, and the line that opens the chat.
#   bash scripts/demo.sh [--quick] [--out DIR]      about 6 minutes on 2 CPU cores and 4 GB; --quick about 90 seconds
set -euo pipefail
cd "$(dirname "$0")/.."

quick=no
out=runs/demo
while [ $# -gt 0 ]; do
    case "$1" in
        --quick) quick=yes ;;
        --out) out="${2:?--out needs a directory}" && shift ;;
        -h | --help) sed -n '2,4s/^# \{0,1\}//p' "$0" && exit 0 ;;
        *) echo "demo.sh: error: unknown flag $1 (--quick, --out DIR)" >&2 && exit 2 ;;
    esac
    shift
done

if [ "$quick" = yes ]; then
    out="$out-quick"
    size=300 vocabulary=3000 passes=1
else
    size=1200 vocabulary=4000 passes=2
fi

source scripts/environment.sh
environment ""
say() { printf '\n== %s\n' "$*"; }
clinic="$out/clinic"
dialogues="$clinic/multi.jsonl $clinic/single.jsonl $clinic/task.jsonl $clinic/general.jsonl $clinic/safety.jsonl"

say "1/5 the synthetic clinic: a hand-written table of conditions becomes text and consultations"
python -m zj.clinic --out "$clinic" --size "$size" --seed 0

say "2/5 a tokenizer of $vocabulary pieces"
[ -e "$out/tokenizer/tokenizer.model" ] ||
    python scripts/train_tokenizer.py --data "$clinic" --out "$out/tokenizer" --vocab-size "$vocabulary"

say "3/5 pre-training a tiny LLaMA from scratch"
python scripts/train_pretrain.py --config recipes/tiny/pretrain.toml --tokenizer "$out/tokenizer" \
    --data "$clinic/pretrain.jsonl" --epochs "$passes" --out "$out/pretrain"

say "4/5 supervised fine-tuning on consultations, with and without the pre-training"
python scripts/train_sft.py --config recipes/tiny/sft.toml --model "$out/pretrain" \
    --data $dialogues --epochs "$passes" --out "$out/sft"
python scripts/train_sft.py --config recipes/tiny/sft.toml --tokenizer "$out/tokenizer" \
    --data $dialogues --epochs "$passes" --out "$out/sft-without-pretraining"

say "5/5 three patients it has never met"
python scripts/consult.py --model "$out/sft" --data "$clinic/multi.jsonl" --number 3

say "what each stage brought"
python scripts/compare_runs.py --runs "$out/pretrain" "$out/sft" "$out/sft-without-pretraining"
cat <<END

Talk to it:
    .venv/bin/python scripts/chat.py --model $out/sft
END
