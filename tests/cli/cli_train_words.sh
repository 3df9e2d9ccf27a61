# tiller train: how its words are read, what is missing or out of range, and commands that work once they are mended.
. "$(dirname "$0")/support.sh"

vae=$fixtures/vae_sd/config.json
pipeline=$fixtures/pipeline_sd1
expect 0 sample --model "$pipeline" --device cpu --steps 2 --prompt 'a red circle' -n 4 --seed 3 -o "$tmp/data"
quick="--data $tmp/data --model $vae --steps 1 --batch 2 --size 16 --seed 2 --device cpu --quiet"

# the method in every form; help comes before anything is opened
expect 0 train --method=vae $quick -o "$tmp/a"
expect 0 train $quick --method vae "-o$tmp/b"
expect 0 train --resume --device cpu --quiet "-o$tmp/b"
check 'glued and spaced words are the same run' cmp "$tmp/a/model/config.json" "$tmp/b/model/config.json"
expect 2 train --method
says '--method needs a value|needs --method'
expect 2 train --method '' -o "$tmp/x"
expect 2 train --method nosuch -o "$tmp/x"
says 'vae, contrastive, sft, prdp'
expect 0 train -h
prints 'tiller train --method prdp'
prints '--method NAME'
expect 0 train --method prdp -h
for name in model prompts reward eval-reward eval-prompts epochs prompts-per-epoch samples-per-prompt steps eta guidance passes minibatches beta clip lr rank targets checkpoint-every; do
    prints "^ *(-., )?--$name "
done
expect 0 list methods
for method in vae contrastive sft prdp; do prints "$method"; done

# what is missing, said by the option's name
for method in vae contrastive sft; do
    expect 2 train --method "$method" --model "$vae" -o "$tmp/x"
    says '--data FOLDER is missing'
    expect 2 train --method "$method" --data "$tmp/data" -o "$tmp/x"
    says '--model is missing'
done
echo 'a red circle' >"$tmp/p.txt"
expect 2 train --method prdp --prompts "$tmp/p.txt" --reward scene -o "$tmp/x"
says '--model is missing'
expect 2 train --method prdp --model "$pipeline" --reward scene -o "$tmp/x"
says '--prompts is missing'
expect 2 train --method prdp --model "$pipeline" --prompts "$tmp/p.txt" -o "$tmp/x"
says '--reward is missing'
expect 2 train --method prdp --model "$pipeline" --prompts "$tmp/p.txt" --reward scene -o "$tmp/x"
says 'p.txt has 1 prompts, --prompts-per-epoch wants 8'

# numbers out of their range, words that are none of the choices, arguments too many
for pair in steps=-1 batch=0 batch=x lr=-1 beta1=1 ema=1 size=-1 log-every=0 save-every=0 schedule=wavy warmup=-1; do
    expect 2 train --method vae $quick --set "$pair" -o "$tmp/x"
    says "${pair%%=*}"
done
for pair in epochs=0 samples-per-prompt=1 beta=0 clip=-1 guidance=-1 passes=0 eta=2 logprob-reduce=max last-step=none rank=0; do
    expect 2 train --method prdp --set "$pair" -o "$tmp/x"
    says "${pair%%=*}"
done
expect 2 train --method vae $quick -o "$tmp/x" more
absent "$tmp/x"

# config files
expect 4 train --config "$tmp/none.json" -o "$tmp/x"
says none.json
echo '{"method": "vae", ' >"$tmp/torn.json"
expect 4 train --config "$tmp/torn.json" -o "$tmp/x"
says torn.json
echo '{"method": "wae"}' >"$tmp/wae.json"
expect 2 train --config "$tmp/wae.json" -o "$tmp/x"
says 'did you mean vae'
echo '{"method": 7}' >"$tmp/seven.json"
expect 4 train --config "$tmp/seven.json" -o "$tmp/x"
echo '{"steps": 1}' >"$tmp/nameless.json"
expect 2 train --config "$tmp/nameless.json" -o "$tmp/x"
says 'needs --method'
expect 4 train --resume -o "$tmp/nowhere"
says nowhere
absent "$tmp/nowhere"

# what fails before it begins leaves no run: the mended command works
expect 4 train --method vae $quick --data "$tmp/nothing" -o "$tmp/c"
absent "$tmp/c/config.json"
expect 0 train --method vae $quick -o "$tmp/c"
small="--method prdp --model $pipeline --prompts $tmp/p.txt --prompts-per-epoch 1 --minibatches 1 --samples-per-prompt 2 --epochs 1 --steps 2"
small="$small --guidance 1 --eval-samples 2 --rank 2 --device cpu --quiet"
expect 4 train $small --reward scene -o "$tmp/d"
says 'sample 0 .a red circle.*16 x 16'
absent "$tmp/d/config.json"
expect 2 train $small --reward scene --eta 0 -o "$tmp/d"
says '--eta must be above 0'
expect 4 train $small --reward "clip:$fixtures/nosuch" -o "$tmp/d"
says '--reward: .*nosuch'
expect 0 train $small --reward "clip:$fixtures/clip_score" --clip inf -o "$tmp/d/"
check 'the adapter carries the name of the run' test -s "$tmp/d/lora/d.kohya.safetensors"
check 'an infinite clip is kept' grep -q '"clip": "inf"' "$tmp/d/config.json"

# a picture that cannot be read
echo 'no picture' >"$tmp/data/torn.png"
run train --method vae $quick -o "$tmp/e"
check 'it is left out, and the code says so' test "$code" -eq 3
says '1 of 5 pictures could not be used'
expect 4 train --method vae $quick --strict -o "$tmp/f"
says torn.png
finish
