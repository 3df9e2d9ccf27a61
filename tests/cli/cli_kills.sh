# Runs that are killed by SIGKILL at random moments and resumed, again and again, end in the same bytes as one left alone.
# TILLER_KILLS: how many kills for each method (4; of ddpo half of them, for it is prdp's run with another loss);
# TILLER_KILL_SEED: of the moments (1).
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/runs.sh"
RANDOM=${TILLER_KILL_SEED:-1}
make_tune 12 3
make_sft 40 8

# start NAME OPTIONS: the run in the background, begun or resumed
start() {
    local run=$tmp/$1/run
    shift
    if [ -f "$run/config.json" ]; then
        "$tiller" train --resume "$run" --quiet >"$tmp/out" 2>"$tmp/err" </dev/null &
    else
        "$tiller" train $* --quiet -o "$run" >"$tmp/out" 2>"$tmp/err" </dev/null &
    fi
    pid=$!
}

# ended CODE NAME: a session that was not killed
ended() {
    local name=$2
    last="train --method $name, after $kills kills"
    checks=$((checks + 1))
    [ "$1" -eq 0 ] || fail "exit code $1 after a kill"
    check 'the same bytes' same_run "$tmp/$name-whole/run" "$tmp/$name/run"
    check 'nothing unfinished' is_clean "$tmp/$name/run"
    runs=$((runs + 1))
}

# kill_often NAME KILLS OPTIONS
kill_often() {
    local name=$1 wanted=$2 begin span delay code
    shift 2
    begin=${EPOCHREALTIME/[.,]/}
    expect 0 train $* --quiet -o "$tmp/$name-whole/run"
    span=$((${EPOCHREALTIME/[.,]/} - begin))
    kills=0 runs=0
    rm -rf "${tmp:?}/$name"
    while [ "$kills" -lt "$wanted" ]; do
        delay=$((span * (RANDOM + 1) / 32768))
        start "$name" $*
        sleep "$((delay / 1000000)).$(printf %06d $((delay % 1000000)))"
        kill -KILL $pid 2>/dev/null
        wait $pid
        code=$?
        if [ "$code" -eq 137 ]; then
            kills=$((kills + 1))
            continue
        fi
        ended "$code" "$name"
        [ "$code" -eq 0 ] || return
        rm -rf "${tmp:?}/$name"
    done
    start "$name" $*
    wait $pid
    ended $? "$name"
    echo "$name: $kills kills within $runs runs of $((span / 1000)) ms"
}

{
    n=${TILLER_KILLS:-4}
    kill_often tune "$n" $tune
    kill_often ddpo $(((n + 1) / 2)) $ddpo
    kill_often sft "$n" $sft
} 2>/dev/null # not bash's own words on killed children
finish
