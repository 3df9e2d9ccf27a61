# How each way of coming to a stop is told: one message with what was wrong and how to go on, the right exit code, and
# nothing lost.
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/runs.sh"
make_tune 2 1
make_sft 4 2

expect 0 train $sft --quiet -o "$tmp/s-whole/run"

# another process holds the folder
cp -r "$tmp/s-whole" "$tmp/held"
if command -v flock >/dev/null; then
    (
        failures=0
        flock 9
        echo "4242 elsewhere 2026-01-31T12:00:00Z" >&9
        expect 9 train --resume "$tmp/held/run"
        says 'process 4242 on elsewhere works in this folder since 2026-01-31T12:00:00Z'
        exit "$failures"
    ) 9>"$tmp/held/run/run.lock" || failures=$((failures + 1))
fi
echo "4242 $(hostname) 2026-01-31T12:00:00Z" >"$tmp/held/run/run.lock"
expect 0 train --resume "$tmp/held/run" --quiet # whose process is no more

# a folder that cannot be written, a limit on file sizes
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$tmp/locked"
    chmod a-w "$tmp/locked"
    expect 5 train $sft -o "$tmp/locked/run"
    says 'locked/run: cannot make the folder .*Permission denied; choose a place that can be written'
    cp -r "$tmp/s-whole/run" "$tmp/readonly"
    rm -r "$tmp/readonly/model"
    chmod a-w "$tmp/readonly"
    expect 5 train --resume "$tmp/readonly"
    says 'readonly.*Permission denied; choose a place that can be written'
    chmod u+w "$tmp/locked" "$tmp/readonly"
fi
if [ -d /sys ] && ! mkdir /sys/tiller-run 2>/dev/null; then
    expect 5 train $sft -o /sys/tiller-run
    says '/sys/tiller-run: cannot make the folder'
fi
: >"$tmp/plain"
expect 5 train $sft -o "$tmp/plain/run"
says 'plain/run: cannot make the folder'
(
    failures=0
    ulimit -f 3 # kB: config and run.json fit, a checkpoint does not
    expect 5 train $sft -o "$tmp/small"
    says 'File too large; raise the limit on file sizes .*; nothing was saved yet; begin again with: tiller train --resume .*small'
    exit "$failures"
) || failures=$((failures + 1))
run train --resume "$tmp/small" --quiet
check 'and it does' test "$code" -eq 0

# a disk that is full
mkdir "$tmp/disk"
if unshare -rm sh -c "mount -t tmpfs -o size=450k none '$tmp/disk'" 2>/dev/null; then
    last='train on a disk of 450 kB'
    unshare -rm bash -c "mount -t tmpfs -o size=450k none '$tmp/disk'
        '$tiller' train $sft --quiet -o '$tmp/disk/run' >'$tmp/out' 2>'$tmp/err'
        echo \$? >'$tmp/code'
        cp -r '$tmp/disk' '$tmp/freed'"
    check 'a full disk has its code' test "$(cat "$tmp/code")" -eq 5
    says 'No space left on device; free some space; the last checkpoint, step 2, is whole; go on with: tiller train --resume .*disk/run$'
    check 'nothing unfinished stays' is_clean "$tmp/freed/run"
    expect 0 train --resume "$tmp/freed/run" --quiet
    check 'the same bytes' same_run "$tmp/s-whole/run" "$tmp/freed/run"
fi

# asked to stop
"$tiller" train ${sft/--steps 4/--steps 100000} --quiet -o "$tmp/asked" >"$tmp/out" 2>"$tmp/err" &
pid=$!
last='train, ended by SIGHUP'
for _ in $(seq 200); do
    [ -s "$tmp/asked/metrics.jsonl" ] && break
    sleep 0.05
done
kill -HUP $pid
wait $pid
check "it ends with the signal's code" test $? -eq 129
says "^tiller: training was interrupted; the last checkpoint, step [0-9]+, is whole; go on with: tiller train --resume $tmp/asked$"

# asked to stop in the middle of an epoch: beside the last epoch's checkpoint, until the next one
"$tiller" train ${tune/--epochs 2/--epochs 1} --passes 1000 --quiet -o "$tmp/within" >"$tmp/out" 2>"$tmp/err" &
pid=$!
last='train, ended by SIGTERM within an epoch'
for _ in $(seq 400); do
    [ -s "$tmp/within/checkpoints/step-00000000/manifest.json" ] && break
    sleep 0.05
done
sleep 0.5
kill -TERM $pid
wait $pid
check "it ends with the signal's code" test $? -eq 143
says 'in the midst of epoch 1; the last checkpoint, within epoch 1, is whole; go on with'
holds "$tmp/within/checkpoints" step-00000000 step-00000000-within
expect 0 inspect "$tmp/within"
prints 'step-00000000-within'

# ---- what is wrong with the inputs ----
printf 'a red circle\na blue \377 square\n' >"$tmp/latin.txt"
expect 4 train ${tune/three.txt/latin.txt} -o "$tmp/x"
says 'latin.txt.*line 2.*UTF-8'
absent "$tmp/x/config.json"

# nan FILE: every number of a safetensors file
nan() {
    local header size
    header=$(od -An -tu8 -N8 "$1" | tr -d ' ') size=$(stat -c %s "$1")
    { head -c $((8 + header)) "$1"; head -c $((size - 8 - header)) /dev/zero | tr '\0' '\377'; } >"$1.new"
    mv "$1.new" "$1"
}

cp -r "$fixtures/clip_score" "$tmp/nan_clip"
cp -r "$fixtures/pipeline_sd1" "$tmp/nan_model"
chmod -R u+w "$tmp/nan_clip" "$tmp/nan_model"
nan "$tmp/nan_clip/model.safetensors"
nan "$tmp/nan_model/unet/diffusion_pytorch_model.safetensors"
expect 8 train ${tune/clip:*clip_score/clip:$tmp/nan_clip} -o "$tmp/x"
says 'reward clip:.*nan_clip: sample 0 \(a red circle\): .*nan'
absent "$tmp/x/config.json"
expect 8 train ${tune/$fixtures\/pipeline_sd1/$tmp/nan_model} -o "$tmp/y"
says 'nan.*go on with: tiller train --resume'
bad=${sft/$fixtures\/pipeline_sd1/$tmp/nan_model}
run train ${bad/--steps 4 --save-every 2/--steps 20 --save-every 20} -o "$tmp/z"
check 'weights that are no numbers' test "$code" -eq 8
says 'not finite 10 times in a row.*nothing was saved yet'
run train $bad --quiet -o "$tmp/z4"
check 'not even in few steps' test "$code" -eq 8
says 'not one of 4 updates was made'
run train --resume "$tmp/z4" --quiet
check 'nor when it goes on' test "$code" -eq 8

# a LoRA for another model
expect 4 sample --model "$fixtures/pipeline_xl" --lora "$fixtures/lora_sd1/pytorch_lora_weights.safetensors" --prompt x --steps 1 --device cpu -o "$tmp/l"
says 'lora_sd1/pytorch_lora_weights.safetensors: .* the LoRA is for another model'
absent "$tmp/l"
finish
