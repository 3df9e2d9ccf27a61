#!/bin/sh
# Makes every committed fixture again: make_all.sh [PYTHON]. See README.md for the packages.
set -eu
cd "$(dirname "$0")"
python=${1:-python3}
export PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
for script in unet vae clip bpe clip_score clap roberta_bpe clap_score rewards pipeline pipeline_xl lora schedulers pth npy front_ends fad_nets; do
    "$python" "$script.py"
done
