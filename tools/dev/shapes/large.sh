#!/usr/bin/env bash
# A generator of 2.9 times the shipped one's parameters, on the same data for the same updates: what steering the small one is measured against.
# Ends with the validation losses of both on scenes that neither has seen.
#   tools/dev/shapes/large.sh FOLDER [BUILD]     resumes where it was stopped; about two hours on two AVX-512 cores
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=${1:?usage: large.sh FOLDER [BUILD]}
build=${2:-$root/build}
tiller=$build/tiller dev=$build/tools/dev shipped=$root/assets/models/shapes
mkdir -p "$work"
[ -e "$work/train/metadata.jsonl" ] || "$dev/make_scenes" --count 24000 --seed 1 -o "$work/train"
[ -e "$work/test/metadata.jsonl" ] || "$dev/make_scenes" --count 2048 --seed 3 --split test -o "$work/test"
if [ ! -e "$work/start/model_index.json" ]; then
    mkdir -p "$work/start/unet"
    cp -r "$shipped"/{scheduler,text_encoder,tokenizer,vae} "$work/start/"
    cp "$here/unet_large.json" "$work/start/unet/config.json"
    cp "$shipped/model_index.json" "$work/start/"
fi
if [ ! -e "$work/run/model" ]; then
    if [ -d "$work/run/checkpoints" ]; then
        "$tiller" train --resume "$work/run"
    else
        rm -rf "$work/run"
        "$tiller" train --method sft --data "$work/train" --model "$work/start" --batch 16 --steps 14000 --lr 0.0007 --warmup 200 --ema 0.9995 \
            --save-every 500 --seed 4 -o "$work/run"
    fi
fi
validation() { # NAME MODEL
    local run=$work/validation-$1
    rm -rf "$run"
    "$tiller" train --method sft --data "$work/test" --model "$2" --full --steps 1 --lr 0 --val-share 0.9 --val-every 1 --seed 1 -q -o "$run"
    printf '%s: validation loss %s\n' "$1" "$(sed -n '1s/.*"loss":\([0-9.]*\).*/\1/p' "$run/metrics.jsonl")"
}
validation shipped "$shipped"
validation large "$work/run/model"
