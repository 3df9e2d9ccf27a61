# tiller report: a page of a run, runs side by side, what it must refuse.
. "$(dirname "$0")/support.sh"

make_run() {
    mkdir -p "$1"
    printf '{"method":"prdp","epochs":3,"lr":%s}' "$2" >"$1/config.json"
    for step in 0 1 2 3; do
        printf '{"step":%d,"phase":"eval_others","reward":0.%d,"reward_se":0.01,"time":%d}\n' $step $((5 + step)) $((1700000000 + step))
        printf '{"step":%d,"phase":"train","loss":%d.5,"time":%d}\n' $step $((9 - step)) $((1700000000 + step))
    done >"$1/metrics.jsonl"
}
make_run "$tmp/a" 0.1
make_run "$tmp/b" 0.2

expect 0 report "$tmp/a"
prints "^report +$tmp/a/report.html"
prints 'others +trained +0.5 +0.8 +0.3'
prints 'not finished|finished at epoch 3'
check 'a page' grep -q '<h1>a</h1>' "$tmp/a/report.html"
cp "$tmp/a/report.html" "$tmp/first.html"
expect 0 report -q "$tmp/a/"
check 'quiet says nothing' test ! -s "$tmp/out"
check 'the same folder, the same bytes' cmp "$tmp/first.html" "$tmp/a/report.html"
expect 0 report "$tmp/a" --json -o "$tmp/elsewhere.html"
prints '"schema": "tiller.report/1"'
check 'also elsewhere' cmp "$tmp/first.html" "$tmp/elsewhere.html"

expect 0 report "$tmp/a" "$tmp/b" --names PRDP,other -o "$tmp/both.html"
check 'names' grep -q 'data-name="PRDP"' "$tmp/both.html"
check 'settings that differ' grep -q '<th>lr</th><td>0.1</td><td>0.2</td>' "$tmp/both.html"
(cd "$tmp" && "$tiller" report a b >/dev/null)
check 'several runs: compare.html here' test -s "$tmp/compare.html"

# damaged lines are passed over, said, and the code tells
printf 'garbage\n{"step":4,"pha' >>"$tmp/b/metrics.jsonl"
run report "$tmp/b"
check 'partial' test "$code" -eq 3
says '^tiller: warning: .*/b: 1 damaged'

expect 4 report "$tmp"
says 'is no run'
expect 4 report "$tmp/nothing"
expect 2 report
says 'report needs RUN'
expect 2 report "$tmp/a" "$tmp/b" --names x
says '1 for 2 runs'
expect 5 report "$tmp/a" -o "$tmp/no/such/x.html"
absent "$tmp/no"
finish
