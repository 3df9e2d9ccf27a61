# Tiny training runs and their comparison, for the scripts that interrupt them. Sourced after support.sh.
#
#   make_tune [EPOCHS [SAVE]], make_sft [STEPS [SAVE]]    $tune, $ddpo, $sft: options of a run on a reward, of the same
#                             by the other method, and of one from data
#   same_run A B              both ended in the same bytes: all but run.lock, run.json (who ran when), config.json (paths),
#                             report.html and TensorBoard's events (clocks), and the time of each row of metrics.jsonl;
#                             B may have an older checkpoint that was to be pruned
#   is_clean RUN              nothing unfinished is left
make_tune() {
    printf 'a red circle\na blue square\na green circle\n' >"$tmp/three.txt"
    tune="--method prdp --model $fixtures/pipeline_sd1 --prompts $tmp/three.txt --reward clip:$fixtures/clip_score --size 16x16"
    tune="$tune --prompts-per-epoch 2 --minibatches 1 --samples-per-prompt 2 --epochs ${1:-3} --steps 2 --checkpoint-every ${2:-2}"
    tune="$tune --eval-samples 2 --guidance 1 --rank 2 --lr 0.01 --seed 1 --device cpu --threads 1"
    ddpo=${tune/--method prdp/--method ddpo}
}

make_sft() {
    local i
    "$tiller" sample --model "$fixtures/pipeline_sd1" --device cpu --steps 2 --prompt 'a red circle' -n 4 --seed 3 -o "$tmp/data" --quiet
    for i in "$tmp"/data/*.png; do printf 'a red circle\n' >"${i%.png}.txt"; done
    sft="--method sft --model $fixtures/pipeline_sd1 --data $tmp/data --steps ${1:-4} --save-every ${2:-2} --log-every 1 --batch 2"
    sft="$sft --lr 0.001 --seed 1 --device cpu --threads 1"
}

files_of() {
    (cd "$1" && find . -type f ! -name run.lock ! -name run.json ! -name config.json ! -name report.html ! -name 'events.out.*' | LC_ALL=C sort)
}

rows_of() {
    sed 's/,"time":[^,}]*//' "$1/metrics.jsonl"
}

same_run() {
    local name old=()
    for name in "$2"/checkpoints/*; do [ -e "$1/checkpoints/${name##*/}" ] || old+=("${name##*/}"); done
    diff <(files_of "$1") <(files_of "$2" | grep -Fv "${old[@]/#/-e./checkpoints/}" -e //) || return 1
    for name in $(files_of "$1"); do
        [ "$name" = ./metrics.jsonl ] || cmp "$1/$name" "$2/$name" || return 1
    done
    diff <(rows_of "$1") <(rows_of "$2")
}

is_clean() {
    [ -z "$(find "$1" -name '.tiller-*' -o -name '*.tmp')" ]
}
