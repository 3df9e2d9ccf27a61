# tiller train: options, runs that resume to the same bytes, and what it must refuse.
. "$(dirname "$0")/support.sh"

vae=$fixtures/vae_sd
weights=diffusion_pytorch_model.safetensors
expect 0 sample --model "$fixtures/pipeline_sd1" --device cpu --steps 2 --prompt 'a red circle' -n 4 --seed 3 -o "$tmp/data"
common="--method vae --data $tmp/data --model $vae --steps 4 --save-every 2 --log-every 1 --batch 2 --size 16 --device cpu --quiet"

# a run, and the same one twice
expect 0 train $common --seed 5 -o "$tmp/a"
check 'config' grep -q '"steps": 4' "$tmp/a/config.json"
check 'four rows' test "$(wc -l <"$tmp/a/metrics.jsonl")" -eq 4
expect 0 inspect "$tmp/a"
prints '^kind +run'
prints '^metrics +4'
prints 'step-00000004'
expect 0 inspect "$tmp/a/model"
prints 'AutoencoderKL'
expect 0 train $common --seed 5 --threads 1 -o "$tmp/b"
check 'the same seed gives the same bytes' cmp "$tmp/a/model/$weights" "$tmp/b/model/$weights"
expect 0 train $common --seed 6 -o "$tmp/c"
check 'another seed does not' sh -c "! cmp -s '$tmp/a/model/$weights' '$tmp/c/model/$weights'"

# resumed from the middle: method, options and seed come from the run
cp -r "$tmp/b" "$tmp/d"
rm -r "$tmp/d/checkpoints/step-00000004" "$tmp/d/model"
expect 0 train --resume --device cpu -o "$tmp/d"
check 'a resumed run ends in the same bytes' cmp "$tmp/a/model/$weights" "$tmp/d/model/$weights"
check 'and its metrics, but for the time' sh -c "sed 's/,\"time\".*//' '$tmp/a/metrics.jsonl' >'$tmp/m1' && sed 's/,\"time\".*//' '$tmp/d/metrics.jsonl' | cmp '$tmp/m1'"

# a config file; the command line wins over it
sed 's/"steps": 4/"steps": 3/' "$tmp/a/config.json" >"$tmp/config.json"
expect 0 train --config "$tmp/config.json" --seed 5 --device cpu -o "$tmp/e"
check 'options of the file' grep -q '"steps": 3' "$tmp/e/config.json"
check 'the command line wins' grep -q "\"out\": \"$tmp/e\"" "$tmp/e/config.json"
expect 0 train --config "$tmp/config.json" --set steps=2 --device cpu -o "$tmp/f"
check 'so does --set' grep -q '"steps": 2' "$tmp/f/config.json"
sed 's/"steps"/"stepz"/' "$tmp/a/config.json" >"$tmp/bad.json"
expect 2 train --config "$tmp/bad.json" -o "$tmp/x"
says 'bad.json: stepz.*did you mean steps'

# asked to stop: it saves, says so, and goes on later
"$tiller" train ${common/--steps 4/--steps 1000000} --seed 5 -o "$tmp/s" >"$tmp/out" 2>"$tmp/err" &
pid=$!
last='train, ended by SIGTERM'
for _ in $(seq 200); do
    [ -s "$tmp/s/metrics.jsonl" ] && break
    sleep 0.1
done
kill -TERM $pid
wait $pid
check "an interrupted run ends with the signal's code" test $? -eq 143
check 'and one line' test "$(wc -l <"$tmp/err")" -eq 1
says '^tiller: .*interrupted'
check 'and a checkpoint' test -n "$(ls "$tmp/s/checkpoints")"
rows=$(wc -l <"$tmp/s/metrics.jsonl")
expect 0 train --resume --device cpu --steps $((rows + 2)) -o "$tmp/s"
check 'it goes on where it stood' test "$(wc -l <"$tmp/s/metrics.jsonl")" -eq $((rows + 2))

# on a reward: the LoRA stands where scripts look for it, and the end says where
printf 'a red circle\na blue square\n' >"$tmp/two.txt"
prdp="--method prdp --model $fixtures/pipeline_sd1 --prompts $tmp/two.txt --reward scene --size 64x64 --prompts-per-epoch 2 --minibatches 1"
prdp="$prdp --samples-per-prompt 2 --epochs 2 --steps 3 --checkpoint-every 1 --eval-samples 2 --guidance 1 --rank 2 --device cpu"
run train $prdp --seed 1 -o "$tmp/p"
check 'it ends well' test "$code" -eq 0
prints '^memory: .*network batch 4'
check 'warnings alone are said besides: so few samples may give no signal' test -z "$(grep -Ev '^tiller: warning: ' "$tmp/err")"
prints '^lora +.*/p/lora/pytorch_lora_weights.safetensors$'
prints '^summary +trained prompts, scene: '
expect 0 inspect "$tmp/p/lora/pytorch_lora_weights.safetensors" --brief
prints 'rank +2'
expect 0 inspect "$tmp/p"
prints 'before_after.png'
expect 0 sample --model "$fixtures/pipeline_sd1" --device cpu --steps 2 --prompt 'a red circle' --lora "$tmp/p/lora/pytorch_lora_weights.safetensors" -o "$tmp/p2"

# supervised: a LoRA on UNet and text encoder, held-out pictures, samples; on from it; a broken picture is told and counted
sft="--method sft --data $tmp/data --model $fixtures/pipeline_sd1 --size 32 --batch 2 --rank 2 --train-text-encoder --device cpu"
expect 0 train $sft --steps 2 --val-share 0.5 --val-every 1 --sample-prompts "$tmp/two.txt" --sample-every 2 --sample-steps 2 --seed 1 -o "$tmp/t"
prints '^lora +.*/t/lora/pytorch_lora_weights.safetensors$'
prints '^summary +validation loss [0-9.]+ at step'
check 'the best step' grep -q '"best_validation"' "$tmp/t/run.json"
check 'a grid' test -s "$tmp/t/samples/step-00000002/grid.png"
expect 0 inspect "$tmp/t/lora/pytorch_lora_weights.safetensors" --brief
prints 'rank +2'
expect 0 train $sft --rank 0 --steps 0 --lora "$tmp/t/lora/pytorch_lora_weights.safetensors" -o "$tmp/t2"
check 'no steps, the same LoRA' cmp "$tmp/t/lora/pytorch_lora_weights.safetensors" "$tmp/t2/lora/pytorch_lora_weights.safetensors"
expect 0 sample --model "$fixtures/pipeline_sd1" --device cpu --steps 2 --size 32x32 --prompt 'a red circle' --lora "$tmp/t2/lora/t2.kohya.safetensors" -o "$tmp/t3"
cp -r "$tmp/data" "$tmp/torn"
head -c 60 "$tmp/data/00000.png" >"$tmp/torn/00000.png"
run train --method sft --data "$tmp/torn" --model "$fixtures/pipeline_sd1" --size 32 --batch 2 --steps 1 --device cpu -o "$tmp/t4"
check 'a skipped picture has its code' test "$code" -eq 3
says '00000.png'
says '^tiller: trained, but 1 of 4 pictures could not be used'
check 'and the LoRA is there' test -s "$tmp/t4/lora/t4.kohya.safetensors"
expect 2 train $sft --full -o "$tmp/x"
says '--full trains all weights'

# usage
expect 2 train
says 'needs --method NAME; there are '
expect 2 train --method nosuch
says "no method 'nosuch'"
expect 2 train --method prpd
says 'did you mean prdp'
expect 2 train --data "$tmp/data" -o "$tmp/x"
says 'needs --method'
expect 2 train --method vae --data "$tmp/data" --model "$vae"
says '-o'
expect 2 train $common --lr fast -o "$tmp/x"
expect 2 train $common --reward scene -o "$tmp/x"
says '--reward is no option here'
expect 2 train $common --seed 5 -o "$tmp/a"
says "$tmp/a"
for method in vae contrastive sft prdp; do
    expect 0 train --method "$method" -h
    prints "^Options of --method $method:"
    prints '-o, --out FOLDER'
    prints '--resume'
done

# data and models that cannot be used
expect 4 train --method vae --data "$tmp/nothing" --model "$vae" --steps 1 -o "$tmp/x1"
expect 4 train --method vae --data "$tmp/data" --model "$tmp/nothing" --steps 1 -o "$tmp/x2"
: >"$tmp/empty.txt"
expect 4 train --method prdp --model "$fixtures/pipeline_sd1" --prompts "$tmp/empty.txt" --reward scene --device cpu -o "$tmp/x3"
says 'empty.txt'
echo 'a red circle' >"$tmp/p.txt"
expect 2 train --method prdp --model "$fixtures/pipeline_sd1" --prompts "$tmp/p.txt" --prompts-per-epoch 1 --minibatches 1 --reward nosuch --device cpu -o "$tmp/x4"
says nosuch
expect 2 train --method prdp --model "$fixtures/pipeline_sd1" --prompts "$tmp/p.txt" --device cpu -o "$tmp/x5"
says 'reward'

# one folder, one process
if command -v flock >/dev/null; then
    cp -r "$tmp/d" "$tmp/g"
    (
        flock 9
        run train --resume --device cpu -o "$tmp/g"
        echo "$code" >"$tmp/code"
    ) 9>>"$tmp/g/run.lock"
    last='train --resume into a locked folder'
    check 'a folder in use has its code' test "$(cat "$tmp/code")" -eq 9
fi
finish
