#!/usr/bin/env bash
# The recipe of assets/models/shapes and assets/encoders/shapes-clip: data, autoencoder, CLIP, denoiser, from nothing.
#   tools/dev/shapes/train.sh FOLDER [BUILD]     resumes where it was stopped; about an hour and a quarter on two AVX-512 cores
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?usage: train.sh FOLDER [BUILD]}
build=${2:-$here/../../../build}
tiller=$build/tiller dev=$build/tools/dev
mkdir -p "$work"

# One training: begins, or goes on where a checkpoint is, or is done already.
train() { # NAME ARGUMENTS...
    local run=$work/$1
    shift
    [ -e "$run/model" ] && return
    local resume=()
    [ -d "$run/checkpoints" ] && resume=(--resume)
    [ -d "$run" ] && [ ! -d "$run/checkpoints" ] && rm -rf "$run"
    "$tiller" train "$@" -o "$run" "${resume[@]}"
}

[ -e "$work/train/metadata.jsonl" ] || "$dev/make_scenes" --count 24000 --seed 1 -o "$work/train"

train vae-crops --method vae --data "$work/train" --model "$here/vae.json" --crop 32 --steps 5000 --lr 0.003 --seed 1
train vae --method vae --data "$work/train" --model "$work/vae-crops/model" --steps 300 --lr 0.0006 --seed 2
train clip --method contrastive --data "$work/train" --model "$here/clip.json" --vae "$work/vae/model" --steps 2200 --lr 0.002 --ema 0.998 --seed 3

start=$work/start
if [ ! -e "$start/model_index.json" ]; then
    mkdir -p "$start/unet" "$start/scheduler"
    cp -r "$work/vae/model" "$start/vae"
    "$dev/model_tools" text-tower "$work/clip/model" "$start/text_encoder"
    cp "$here/unet.json" "$start/unet/config.json"
    cp "$here/scheduler_config.json" "$start/scheduler/"
    cp "$here/model_index.json" "$start/"
fi
train unet --method sft --data "$work/train" --model "$start" --batch 16 --steps "${UNET_STEPS:-14000}" --lr 0.0008 --warmup 200 --ema 0.9995 --seed 4

"$dev/model_tools" half "$work/unet/model" "$work/assets/models/shapes"
"$dev/model_tools" half "$work/clip/model" "$work/assets/encoders/shapes-clip"
