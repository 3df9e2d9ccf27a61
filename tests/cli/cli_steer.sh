# tiller steer: particles with their weights, the best of each prompt, going on after a stop, what it must refuse; and
# a reward in another program that fails on the way.
. "$(dirname "$0")/support.sh"

printf 'a red circle\n\na blue square\na green triangle\n' >"$tmp/p.txt"
common="--model $fixtures/pipeline_sd1 --device cpu --threads 1 --steps 4 --from 0 --every 1 --lambda 2000 --particles 3 --seed 7"
common="$common --prompts $tmp/p.txt"
clip="--reward clip:$fixtures/clip_score"

expect 0 steer $common $clip -o "$tmp/a"
prints '^pictures +9, 3 for each of 3 prompts'
prints '^reward +.* mean of all, .* weighted, .* best of each prompt'
prints '^evaluations +36 of the network, '
prints '% beside network and reward'
check 'pictures, bests, numbers' sh -c "cd '$tmp/a' && ls 00000.png 00008.png metadata.jsonl best/metadata.jsonl steer.jsonl steer.json config.json run.json"
check 'one best a prompt' test "$(ls "$tmp"/a/best/*.png | wc -l)" -eq 3
check 'a line a prompt' test "$(wc -l <"$tmp/a/steer.jsonl")" -eq 3
expect 0 score clip "$tmp/a/best" --encoder "$fixtures/clip_score" --device cpu
expect 0 inspect "$tmp/a/00004.png"
prints 'Steering: diff, Particles: 3, Lambda: 2000, Reward: '

# the picture of a best is that of the run; k = 1 is the plain sampler
for i in $(ls "$tmp/a/best" | grep png); do
    check "best $i" cmp "$tmp/a/$i" "$tmp/a/best/$i"
done
expect 0 sample --model "$fixtures/pipeline_sd1" --device cpu --steps 4 --eta 1 --seed 7 --prompts "$tmp/p.txt" -n 3 -o "$tmp/plain"
expect 0 steer $common $clip --potential none -o "$tmp/none" --json
prints '"schema": "tiller.steer/1"'
for i in 0 4 8; do
    check "picture $i is the sampler's" "$tool" pixels "$tmp/plain/0000$i.png" "$tmp/none/0000$i.png" 0
done
check 'steering draws others' sh -c "! cmp -s '$tmp/a/steer.jsonl' '$tmp/none/steer.jsonl'"

# a run of another folder is refused; a finished one stays as it is
expect 2 steer $common $clip -o "$tmp/a"
says 'holds another run; .* --resume'
cp "$tmp/a/steer.jsonl" "$tmp/before"
expect 0 steer --resume "$tmp/a"
prints '^prompts that were finished before +3'
check 'nothing was drawn again' cmp "$tmp/before" "$tmp/a/steer.jsonl"
rm "$tmp/a/00004.png"
run steer --resume "$tmp/a"
check 'a warning is no failure' test "$code" -eq 0
says 'pictures of prompt 1 are missing'
check 'a missing picture is drawn again' test -s "$tmp/a/00004.png"
check 'and the lines stay' cmp "$tmp/before" "$tmp/a/steer.jsonl"
expect 2 steer $common $clip -o "$tmp/plain"
says 'holds pictures of something else .*00000.png'
expect 2 steer --resume "$tmp/a" --lambda 5
says 'lambda: the run began with 2000'
expect 4 steer --resume "$tmp/nothing"
expect 4 steer --resume "$tmp/plain"

# Ctrl-C: finished prompts are kept, the rest comes later, to the same bytes
expect 0 steer $common $clip --batch 3 --steps 60 --every 20 -o "$tmp/whole"
"$tiller" steer $common $clip --batch 3 --steps 60 --every 20 -o "$tmp/stopped" >"$tmp/out" 2>"$tmp/err" &
pid=$!
for _ in $(seq 500); do
    [ -s "$tmp/stopped/steer.jsonl" ] && break
    sleep 0.01
done
kill -INT $pid 2>/dev/null
wait $pid
code=$?
last='steer, stopped'
check 'stopped, or through already' test "$code" -eq 130 -o "$code" -eq 0
[ "$code" -eq 130 ] && says 'of 3 prompts are finished and kept; go on with: tiller steer --resume'
expect 0 steer --resume "$tmp/stopped"
for f in steer.jsonl metadata.jsonl best/metadata.jsonl; do
    check "$f after a stop" cmp "$tmp/whole/$f" "$tmp/stopped/$f"
done
for i in 0 5 8; do
    check "picture $i after a stop" "$tool" pixels "$tmp/whole/0000$i.png" "$tmp/stopped/0000$i.png" 0
done

# --report leaves a page and draws plain samples beside it; the steered results stay as they are
expect 0 steer $common $clip --report -o "$tmp/r"
prints '^plain samples +.* best of 3'
prints '^report +.*/r/report.html'
check 'page and plain samples' sh -c "cd '$tmp/r' && ls report.html plain/0000.png plain/0002.png steps/0000-000.png"
check 'the same numbers' cmp "$tmp/a/steer.jsonl" "$tmp/r/steer.jsonl"
check 'the same rows' cmp "$tmp/a/metadata.jsonl" "$tmp/r/metadata.jsonl"
check 'a page by itself' sh -c "! grep -q 'https:\|<link\|<img [^>]*src=\"[^d]' '$tmp/r/report.html'"
cp "$tmp/r/report.html" "$tmp/page"
expect 0 report "$tmp/r"
prints 'finished, 3 prompts'
check 'the same page again' cmp "$tmp/page" "$tmp/r/report.html"
expect 0 report "$tmp/r" "$tmp/none" -o "$tmp/c.html"
check 'side by side' grep -q 'Steered runs side by side' "$tmp/c.html"
expect 0 steer --resume "$tmp/none" --report --no-compare
check 'a page later' test -s "$tmp/none/report.html"

# a reward that stops answering: exit code 7, nothing finished is lost, and it goes on once it works again
cat >"$tmp/reward.sh" <<'END'
#!/bin/sh
read -r _hello
echo '{"version":1,"name":"sums","deterministic":true,"max_batch":16}'
while read -r line; do
    id=$(printf '%s\n' "$line" | sed 's/^{"id":\([0-9]*\).*/\1/')
    if [ -e "$0.broken" ] && grep -q square <<X
$line
X
    then
        echo "{\"id\":$id,\"error\":{\"text\":\"no squares today\"}}"
        continue
    fi
    scores=
    for path in $(printf '%s\n' "$line" | awk -F '"path":"' '{ for (i = 2; i <= NF; i++) { sub(/".*/, "", $i); print $i } }'); do
        scores=$scores${scores:+,}$(cksum <"$path" | awk '{ printf "%.3f", $1 % 1000 / 1000 }')
    done
    echo "{\"id\":$id,\"scores\":[$scores]}"
done
END
chmod +x "$tmp/reward.sh"
if "$tiller" list rewards | grep -q '^ *exec '; then
    expect 0 steer $common --reward "exec:$tmp/reward.sh" --batch 3 -o "$tmp/e-whole"
    : >"$tmp/reward.sh.broken"
    expect 7 steer $common --reward "exec:$tmp/reward.sh" --batch 3 -o "$tmp/e"
    says 'no squares today'
    says 'go on with: tiller steer --resume'
    check 'one prompt is finished' test "$(wc -l <"$tmp/e/steer.jsonl")" -eq 1
    check 'with its metadata' test "$(wc -l <"$tmp/e/metadata.jsonl")" -eq 3
    rm "$tmp/reward.sh.broken"
    expect 0 steer --resume "$tmp/e"
    check 'the same in the end' cmp "$tmp/e-whole/steer.jsonl" "$tmp/e/steer.jsonl"
fi

# refusals
expect 2 steer $common -o "$tmp/x"
says '--reward'
expect 2 steer $common $clip --potential dif -o "$tmp/x"
says 'did you mean diff'
expect 2 steer $common $clip --eta 0 -o "$tmp/x"
says 'give --eta 1 or a stochastic sampler'
expect 2 steer $common $clip --lambda nan -o "$tmp/x"
expect 2 steer $common $clip --particles 0 -o "$tmp/x"
expect 2 steer $common $clip --resample sys -o "$tmp/x"
expect 2 steer $common --reward loudness -o "$tmp/x"
expect 2 steer $common $clip --resume 2>/dev/null
expect 4 steer $common --reward clip:"$tmp/nothing" -o "$tmp/x"
check 'a refused run is none' test ! -e "$tmp/x/config.json"
finish
