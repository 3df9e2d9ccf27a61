#!/usr/bin/env bash
# Real pictures through supervised fine-tuning: a LoRA on the shipped shapes generator learns one class of clothing, from a kohya-style folder
# of mixed sizes and formats with broken files in it (kohya_folder.sh).
#   tools/dev/clothing/learn_class.sh FOLDER SPRITE [CLASS] [BUILD]     CLASS: trouser; resumes where it was stopped; 3.3 minutes of one core
# THREADS and DEVICE as in train.sh. The pictures to look at are FOLDER/lora/samples/step-*/grid.png and FOLDER/after.png.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage="usage: learn_class.sh FOLDER SPRITE [CLASS] [BUILD]"
work=${1:?$usage}
sprite=${2:?$usage}
class=${3:-trouser}
build=${4:-$here/../../../build}
model=$here/../../../assets/models/shapes
tiller=$build/tiller data=$work/data run=$work/lora
device=(--device "${DEVICE:-auto}" --threads "${THREADS:-0}")
mkdir -p "$work"

# 12 looks at a picture of the class for one at the other clothes.
if [ ! -e "$data" ]; then
    rm -rf "$data.part"
    "$here/kohya_folder.sh" "$data.part" "$sprite" "$class" "$build"
    mv "$data.part/4_$class" "$data.part/12_$class"
    mv "$data.part" "$data"
fi

prompts=$work/prompts.txt
for colour in red green blue yellow purple white; do echo "a $colour $class"; done >"$prompts"
printf 'a red circle\na small green triangle right of a cyan square\n' >>"$prompts"

# Code 3: trained, and some pictures were broken, as they are meant to be.
code=0
if [ -d "$run/checkpoints" ]; then
    "$tiller" train --resume -o "$run" "${device[@]}" || code=$?
else
    rm -rf "$run"
    "$tiller" train --method sft --data "$data" --model "$model" --fit bucket --flip --rank 8 \
        --targets to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2,proj_in,proj_out,time_emb_proj \
        --batch 16 --steps 1200 --lr 0.003 --warmup 40 --ema 0.99 --val-share 0.1 --val-every 200 --save-every 200 --log-every 20 \
        --sample-prompts "$prompts" --sample-every 200 --latent-cache "$work/latents" --seed 1 -o "$run" "${device[@]}" || code=$?
fi
[ $code -eq 0 ] || [ $code -eq 3 ] || exit $code

"$tiller" sample --model "$model" --lora "$run/lora/lora.kohya.safetensors" --prompts "$prompts" -n 6 --steps 25 --seed 7 \
    -o "$work/after" --grid "$work/after.png" "${device[@]}"
