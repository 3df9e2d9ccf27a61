#!/usr/bin/env bash
# Real pictures through the same commands as the drawn shapes: tiles, autoencoder, CLIP, denoiser, then PRDP on the CLIP reward.
#   tools/dev/clothing/train.sh FOLDER SPRITE [BUILD]     resumes where it was stopped; about six minutes of one AVX-512 core
# SPRITE is fashion-mnist-sprite.png (zalandoresearch/fashion-mnist, doc/img). THREADS=1 keeps to one core, DEVICE=cpu to the processor.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?usage: train.sh FOLDER SPRITE [BUILD]}
sprite=${2:?usage: train.sh FOLDER SPRITE [BUILD]}
build=${3:-$here/../../../build}
tiller=$build/tiller dev=$build/tools/dev
mkdir -p "$work"

# One training: begins, or goes on where a checkpoint is, or is done already.
train() { # NAME WHAT_IT_LEAVES ARGUMENTS...
    local run=$work/$1 end=$work/$1/$2
    shift 2
    [ -e "$end" ] && return
    local resume=()
    [ -d "$run/checkpoints" ] && resume=(--resume)
    [ -d "$run" ] && [ ! -d "$run/checkpoints" ] && rm -rf "$run"
    "$tiller" train "$@" -o "$run" --device "${DEVICE:-auto}" --threads "${THREADS:-0}" "${resume[@]}"
}

data=$work/data/train
[ -e "$data/metadata.jsonl" ] || "$dev/cut_tiles" "$sprite" "$work/data"

train vae model --method vae --data "$data" --model "$here/vae.json" --steps 2000 --lr 0.003 --save-every 500 --seed 1
train clip model --method contrastive --data "$data" --model "$here/clip.json" --vae "$work/vae/model" --batch 64 --steps 500 \
    --weight-decay 0.1 --noise 0.2 --ema 0.99 --save-every 250 --seed 2

start=$work/start
if [ ! -e "$start/model_index.json" ]; then
    mkdir -p "$start/unet" "$start/scheduler"
    cp -r "$work/vae/model" "$start/vae"
    "$dev/model_tools" text-tower "$work/clip/model" "$start/text_encoder"
    cp "$here/unet.json" "$start/unet/config.json"
    cp "$here/scheduler_config.json" "$start/scheduler/"
    cp "$here/model_index.json" "$start/"
fi
train unet model --method sft --data "$data" --model "$start" --batch 16 --steps 4000 --lr 0.001 --ema 0.998 --save-every 500 --seed 4

# Samples score about as well as real pictures already, and a prompt's differ by 0.06 only: so beta is smaller than the quickstart's, and
# four times as many samples are compared, in smaller moves.
train prdp summary.txt --method prdp --model "$work/unet/model" --prompts "$here/prompts-8.txt" --reward "clip:$work/clip/model" \
    --eval-prompts "$here/prompts-others-16.txt" --eval-samples 24 --epochs 10 --prompts-per-epoch 8 --samples-per-prompt 32 \
    --steps 8 --eta 1 --guidance 1 --passes 2 --minibatches 4 --beta 0.01 --clip 0.3 --lr 0.002 --rank 8 --checkpoint-every 2 --seed 1
cat "$work/prdp/summary.txt"
