#!/usr/bin/env bash
# The table of steering in tests/bench/README.md: best-of-k and Feynman-Kac steering of the shipped generator by its CLIP reward, at equal
# network evaluations, on 64 held-out compositions; read by `scene`, which nothing is steered on.
#   tools/dev/shapes/steer.sh FOLDER [BUILD [TUNED [LARGE]]]     goes on where it was stopped; start it once a core: each takes the next run
# TUNED: a PRDP-tuned model (record.sh's prdp-1/model, which was trained without guidance and is compared without it, too); LARGE: the larger generator (large.sh). Rows of what is not given are left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=${1:?usage: steer.sh FOLDER [BUILD [TUNED [LARGE]]]}
build=${2:-$root/build} tuned=${3:-} large=${4:-}
tiller=$build/tiller dev=$build/tools/dev assets=$root/assets
mkdir -p "$work"
prompts=$work/prompts.txt
[ -e "$prompts" ] || { "$dev/make_scenes" --prompts 64 --seed 9 --split test --held-out -o "$prompts.part.$$" && mv "$prompts.part.$$" "$prompts"; }

# One run: begins, goes on, is done already, or is another process's (exit 9).
steer() { # NAME ARGUMENTS...
    local run=$work/$1 code=0 resume=()
    shift
    [ -e "$run/held-out.csv" ] && return
    [ -e "$run/config.json" ] && resume=(--resume)
    "$tiller" steer "$@" "${common[@]}" -o "$run" "${resume[@]}" || code=$?
    [ "$code" = 9 ] && return
    [ "$code" = 0 ] || exit "$code"
    "$tiller" score scene "$run" --csv "$run/held-out.part" >/dev/null
    mv "$run/held-out.part" "$run/held-out.csv"
}

common=(--prompts "$prompts" --reward "clip:$assets/encoders/shapes-clip" --steps 20 --sampler ddim --eta 1 --threads 1 --batch 16)
# Found on 32 other compositions (tests/bench/README.md): before step 11 of 20 the reward of the predicted picture says little of the final one.
guided=(--guidance 3) plain=(--guidance 1)
fk=(--lambda 200 --every 1 --from 0.55 --to 0.95)
model=(--model "$assets/models/shapes")
for seed in 1 2 3; do
    steer "none-16-$seed" "${model[@]}" "${guided[@]}" --particles 16 --potential none --seed "$seed"
    for k in 4 2 8 16; do
        steer "diff-$k-$seed" "${model[@]}" "${guided[@]}" --particles "$k" --potential diff "${fk[@]}" --seed "$seed" \
            --ess "$([ "$k" = 2 ] && echo 0.75 || echo 0.5)" # of two particles at least one counts: half is never reached
    done
    steer "early-4-$seed" "${model[@]}" "${guided[@]}" --particles 4 --potential diff --lambda 60 --every 3 --from 0.35 --to 0.65 --ess 0.5 --seed "$seed"
    for potential in max sum immediate; do
        steer "$potential-4-$seed" "${model[@]}" "${guided[@]}" --particles 4 --potential "$potential" "${fk[@]}" --ess 0.5 --seed "$seed"
    done
    if [ -n "$tuned" ]; then
        for which in untouched tuned; do
            of=("${model[@]}")
            [ "$which" = tuned ] && of=(--model "$tuned")
            steer "plain-$which-none-4-$seed" "${of[@]}" "${plain[@]}" --particles 4 --potential none --seed "$seed"
            steer "plain-$which-diff-4-$seed" "${of[@]}" "${plain[@]}" --particles 4 --potential diff "${fk[@]}" --ess 0.5 --seed "$seed"
        done
        steer "tuned-none-4-$seed" --model "$tuned" "${guided[@]}" --particles 4 --potential none --seed "$seed"
        steer "tuned-diff-4-$seed" --model "$tuned" "${guided[@]}" --particles 4 --potential diff "${fk[@]}" --ess 0.5 --seed "$seed"
    fi
    if [ -n "$large" ]; then steer "large-none-4-$seed" --model "$large" "${guided[@]}" --particles 4 --potential none --seed "$seed"; fi
done

rows=()
row() { # NAME RUN: those that are done
    local found=()
    for seed in 1 2 3; do [ -e "$work/$2-$seed/held-out.csv" ] && found+=("$work/$2-$seed"); done
    [ ${#found[@]} = 0 ] || rows+=("--$1" "${found[@]}")
}
for k in 2 4 8 16; do row "FK diff" "diff-$k"; done
for potential in max sum immediate; do row "FK $potential" "$potential-4"; done
row "FK diff at steps 7, 10, 13" early-4
row "tuned, best of 4" tuned-none-4
row "tuned, FK diff" tuned-diff-4
row "larger, best of 4" large-none-4
"$dev/steer_table" "$work"/none-16-[123] "${rows[@]}"
[ -z "$large" ] || "$dev/steer_table" "$work"/large-none-4-[123]
if [ -n "$tuned" ]; then
    "$dev/steer_table" "$work"/tuned-none-4-[123]
    rows=()
    row "FK diff" plain-untouched-diff-4
    row "tuned, best of 4" plain-tuned-none-4
    row "tuned, FK diff" plain-tuned-diff-4
    printf '\nwithout guidance:\n\n'
    "$dev/steer_table" "$work"/plain-untouched-none-4-[123] "${rows[@]}"
    "$dev/steer_table" "$work"/plain-tuned-none-4-[123]
fi
