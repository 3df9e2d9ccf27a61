# Rewards that are programs: tiller reward check, score, what is refused before anything runs, a run's inputs.
. "$(dirname "$0")/support.sh"

judge=$source/tools/rewards/brightness.sh
fault=$(dirname "$tiller")/tests/exec_fault
pictures=$fixtures/clip_score/pictures
export TMPDIR=$tmp/temp
mkdir "$TMPDIR"

# a good program, and everything that its numbers are known by
expect 0 reward check "exec:'$judge'"
prints 'ok +handshake +brightness: pictures, score'
prints 'ok +in reverse order'
prints 'ok +end of input'
prints '^failed +0'
expect 0 score "exec:'$judge'" "$pictures" --json
prints '"metric": "exec"'
prints '"flavour": "brightness"'
prints '"value": 130\.2146798'
prints '"encoder": ".*brightness\.sh"'
check 'nothing is left behind' test -z "$(ls -A "$TMPDIR")"

# the ten lines of the protocol's page, as they stand there
sed -n '/^    #!\/bin\/sh/,/^    done/s/^    //p' "$source/tools/rewards/README.md" >"$tmp/ten.sh"
chmod +x "$tmp/ten.sh"
expect 0 score "exec:$tmp/ten.sh,workers=2" "$pictures"
prints 'exec +small files +-'
expect 0 reward check "exec:$tmp/ten.sh"

# one that goes wrong: exit code 7, the report, its last words, and a log that stays
if [ -x "$fault" ]; then
    run reward check "exec:$fault nan batch" --json
    check 'a program that fails' test "$code" -eq 7
    says 'does not keep to the protocol'
    prints '"result": "failed"'
    prints 'scores must be finite'
    prints '"schema": "tiller.reward_check/1"'
    rm -f "$TMPDIR"/*
    run score "exec:$fault exit hello" "$pictures"
    check 'a program that ends' test "$code" -eq 7
    says 'ended with exit status 3; its last words on standard error: .fault exit. \(all of them: '
    check 'the log stays' grep -q 'fault exit' "$TMPDIR"/tiller-reward-*.log
    expect 0 score "exec:$fault none none" "$pictures"
    prints 'exec +width +44\.667 +6'
fi

# a score of all files together
if [ -x "$fault" ]; then
    mkdir "$tmp/set"
    for i in 1 2 3 4; do # more than a batch
        for file in "$pictures"/*.png; do cp "$file" "$tmp/set/$i-${file##*/}"; done
    done
    width=0
    for file in "$tmp"/set/*.png; do width=$((width + 0x$(od -An -tx1 -j 16 -N 4 "$file" | tr -d ' \n'))); done
    expect 0 score "exec-set:$fault" "$tmp/set" --json
    prints "\"value\": $width,"
    prints '"n": 24'
    prints '"interval_method": null'
fi
expect 7 score "exec-set:$judge" "$pictures"
says 'kind "score_set"'

# what cannot be run is refused with one line
expect 2 score exec: "$pictures"
says 'no program was named; write exec:COMMAND'
expect 2 score exec:./no-such-judge "$pictures"
says 'there is no program \./no-such-judge'
expect 2 score "exec:$source/README.md" "$pictures"
says 'make it executable'
expect 2 score "exec:$judge,timeot=3" "$pictures"
says 'did you mean timeout'
expect 2 score "exec:'$judge" "$pictures"
says 'ends inside a quote'
expect 2 score "exec:$judge | tee log" "$pictures"
says 'no shell runs'
expect 2 reward sing exec:x
says 'reward knows check'

# a run notes its judge's file, and is not gone on with by another
model=$source/assets/models/shapes
if [ -d "$model" ]; then
    cp "$judge" "$tmp/judge.sh"
    echo 'a red circle' >"$tmp/prompts.txt"
    run train --method prdp --model "$model" --prompts "$tmp/prompts.txt" --reward "exec:$tmp/judge.sh" --epochs 1 \
        --steps 2 --samples-per-prompt 2 --prompts-per-epoch 1 --minibatches 1 --eval-samples 2 --device cpu --quiet -o "$tmp/run"
    check 'a run' test "$code" -eq 0
    check 'its judge is an input' grep -q '"name": "reward"' "$tmp/run/run.json"
    echo '# changed' >>"$tmp/judge.sh"
    expect 4 train --resume "$tmp/run" --epochs 2 --device cpu --quiet
    says 'judge\.sh \(reward\) is no longer the file'
fi
finish
