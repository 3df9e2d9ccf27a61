#!/usr/bin/env bash
# The recorded runs of tests/bench/README.md: PRDP against its control on shuffled rewards, against DDPO, and without its clip; read on
# 64 prompts that nothing was trained on.
#   tools/dev/shapes/record.sh FOLDER [BUILD]     goes on where it was stopped; start it once a core: each takes the next run that nobody has
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=${1:?usage: record.sh FOLDER [BUILD]}
build=${2:-$root/build}
tiller=$build/tiller dev=$build/tools/dev assets=$root/assets
mkdir -p "$work"

# One run: begins, goes on, is done already, or is another process's (exit 9).
train() { # NAME ARGUMENTS...
    local run=$work/$1 code=0
    shift
    [ -e "$run/result.json" ] && return
    if [ -e "$run/config.json" ]; then
        "$tiller" train --resume "$run" || code=$?
    else
        "$tiller" train "$@" -o "$run" || code=$?
    fi
    [ "$code" = 0 ] || [ "$code" = 9 ] || exit "$code"
}

common=(--model "$assets/models/shapes" --reward "clip:$assets/encoders/shapes-clip" --steps 8 --guidance 1 --threads 1)

# 1,600 prompts; of these the 512 on which the untouched model's samples differ most in reward: the others have little to teach.
prompts=$work/prompts.txt
make_prompts() {
    [ -e "$prompts" ] && return
    "$dev/make_scenes" --prompts 1600 --seed 72 --without "$assets/prompts/shapes-64.txt" -o "$work/pool.txt"
    train spread "${common[@]}" --method prdp --prompts "$work/pool.txt" --seed 5 --epochs 1 --prompts-per-epoch 2 --samples-per-prompt 2 \
        --minibatches 1 --passes 1 --eval-every 0 --eval-samples 4 --eval-trained-most 1600
    awk -F'"prompt":"|","prompt_index"|"reward":|,"file"|}' '{
            n[$2]++; s[$2] += $4; q[$2] += $4 * $4 }
        END { for (p in n) printf "%.9f\t%s\n", q[p] / n[p] - (s[p] / n[p]) ^ 2, p }' \
        "$work/spread/samples/step-00000000/rewards.jsonl" | sort -rg | awk -F'\t' 'NR <= 512 { print $2 }' >"$work/top.txt"
    grep -Fxf "$work/top.txt" "$work/pool.txt" >"$prompts.part"
    mv "$prompts.part" "$prompts"
}
exec 9>"$work/prompts.lock" # two of these scripts make them once
flock 9
make_prompts
exec 9>&-

# An epoch draws 32 pictures of each of 16 prompts and learns from the 4 best and 4 worst of each: drawing costs a fifth of learning.
common+=(--prompts "$prompts" --eval-prompts "$assets/prompts/shapes-64.txt" --eval-reward scene --eval-samples 4 --epochs 12
    --prompts-per-epoch 16 --samples-per-prompt 32 --learn-samples 8 --passes 1 --minibatches 8 --full --lr 0.00012 --schedule linear
    --eval-every 4 --checkpoint-every 2)
for seed in 1 2 3; do
    train "prdp-$seed" "${common[@]}" --method prdp --beta 0.02 --clip 0.3 --seed "$seed"
    train "control-$seed" "${common[@]}" --method prdp --beta 0.02 --clip 0.3 --seed "$seed" --shuffle-rewards
done
for seed in 1 2 3; do
    train "ddpo-$seed" "${common[@]}" --method ddpo --seed "$seed"
    train "noclip-$seed" "${common[@]}" --method prdp --beta 0.02 --clip inf --seed "$seed"
done

runs() { # NAME: those that are done
    for seed in 1 2 3; do [ -e "$work/$1-$seed/result.json" ] && echo "$work/$1-$seed"; done
    true
}
# shellcheck disable=SC2046
"$dev/control_test" --prdp $(runs prdp) --ddpo $(runs ddpo) --noclip $(runs noclip) --control $(runs control)
