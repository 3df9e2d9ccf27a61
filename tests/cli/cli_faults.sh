# Each call that changes the disk fails once: no space, an I/O error, a disk that stays full, death in the middle of it.
# The run says so in one message with the code of output errors, and when it is resumed it ends in the same bytes as one
# left alone. TILLER_FAULTS=all tries every call (minutes); else a spread of them, a thin one for ddpo, which writes what
# prdp writes. The 4th argument is the preloaded library.
[ -w /dev/shm ] && export TMPDIR=${TMPDIR:-/dev/shm} # what is synced need not reach a disk here
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/runs.sh"
library=$4
[ -f "$library" ] || {
    echo 'no library to preload: built with sanitizers'
    exit 77
}
every=29
[ "$TILLER_FAULTS" = all ] && every=1
make_tune
make_sft

# count NAME OPTIONS: a run left alone, and how many calls it makes
count() {
    local name=$1
    shift
    expect 0 train $* --quiet -o "$tmp/$name/whole/run"
    (
        export FAULT_FOLDER=$tmp/$name/count/run FAULT_LOG=$tmp/$name/log LD_PRELOAD=$library
        "$tiller" train $* --quiet -o "$FAULT_FOLDER"
    ) || fail 'a run under observation fails'
    n_calls=$(wc -l <"$tmp/$name/log")
    check 'calls are seen' test "$n_calls" -gt 50
    check "$name: the same bytes twice" same_run "$tmp/$name/whole/run" "$tmp/$name/count/run"
}

# fault NAME K HOW OPTIONS: call K fails; then the run goes on
fault() {
    local name=$1 k=$2 how=$3 sticky= run=$tmp/$1/fault/run
    shift 3
    rm -rf "$tmp/$name/fault"
    [ "$how" = FULL ] && sticky=1
    last="train --method $name, call $k: $how ($(sed -n "${k}p" "$tmp/$name/log" | sed "s,$tmp,,"))"
    { # bash's own word on a killed child goes nowhere
        (
            export FAULT_FOLDER=$run FAULT_AT=$k FAULT_HOW=${how/FULL/ENOSPC} LD_PRELOAD=$library
            [ -z "$sticky" ] || export FAULT_STICKY=1
            exec "$tiller" train $* --quiet -o "$run"
        ) >"$tmp/out" 2>"$tmp/err" </dev/null
        code=$?
    } 2>/dev/null
    checks=$((checks + 1))
    case $how$code in
    *0) check 'a fault that does no harm leaves a whole run' same_run "$tmp/$name/whole/run" "$run" ;;
    KILL137) ;;
    KILL* | *[!5]) fail "exit code $code" ;;
    *)
        [ "$(grep -vc '^tiller: warning: ' "$tmp/err")" -eq 1 ] || fail 'not one message'
        says "$([ "$how" = EIO ] && echo 'Input/output error' || echo 'No space left on device.*(free some|--resume)')"
        [ ! -f "$run/config.json" ] || says "go on with: tiller train --resume $run|begin again with: tiller train --resume $run"
        ;;
    esac
    if [ -f "$run/config.json" ]; then
        "$tiller" train --resume "$run" --quiet >"$tmp/out" 2>"$tmp/err" || fail 'it does not go on'
    else
        "$tiller" train $* --quiet -o "$run" >"$tmp/out" 2>"$tmp/err" || fail 'it does not begin again'
    fi
    check 'the same bytes' same_run "$tmp/$name/whole/run" "$run"
    check 'nothing unfinished' is_clean "$run"
}

for name in tune ddpo sft; do
    options=${!name}
    count "$name" $options
    turn=0 step=$every
    [ "$name" != ddpo ] || [ "$every" -eq 1 ] || step=$((4 * every))
    for how in ENOSPC EIO FULL KILL; do
        turn=$((turn + 5))
        for ((k = 1 + turn % step; k <= n_calls; k += step)); do fault "$name" "$k" "$how" $options; done
    done
    echo "$name: $n_calls calls, every ${step}th with each of 4 faults"
done
finish
