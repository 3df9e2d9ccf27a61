# tiller train --resume RUN: what it takes from the run, what may be given anew, and what is refused: then nothing in the
# folder is touched.
. "$(dirname "$0")/support.sh"
. "$(dirname "$0")/runs.sh"
make_tune 2 1

# ---- from config.json alone ----
cd "$tmp" || exit 1
expect 0 train $tune --quiet -o "$tmp/whole/run"
check 'config.json has the seed' grep -q '"seed": 1' "$tmp/whole/run/config.json"
check 'and the device' grep -q '"device": "cpu"' "$tmp/whole/run/config.json"
cp -r "$tmp/whole" "$tmp/part"
rm -r "$tmp/part/run/checkpoints/step-00000002" "$tmp/part/run/lora" "$tmp/part/run/result.json"
expect 0 train --resume "$tmp/part/run" --quiet
check 'the same bytes' same_run "$tmp/whole/run" "$tmp/part/run"
expect 0 train --resume "$tmp/part/run"
prints "$tmp/part/run was through already: 2 epochs; it goes further with --epochs N"
expect 0 train --resume -o "$tmp/part/run" --quiet
expect 0 train --resume "$tmp/part/run" -o "$tmp/part/run" --quiet
check 'still the same bytes' same_run "$tmp/whole/run" "$tmp/part/run"
check 'each resume is noted' test "$(grep -c '"started"' "$tmp/part/run/run.json")" -eq 5

# begun, and left before anything was saved
mkdir "$tmp/early"
cp "$tmp/whole/run/config.json" "$tmp/early/"
run train --resume "$tmp/early" --quiet
check 'it begins anew' test "$code" -eq 0
says 'warning: .*early: was left before its first checkpoint: it begins anew'
check 'with the same seed' cmp "$tmp/early/lora/pytorch_lora_weights.safetensors" "$tmp/whole/run/lora/pytorch_lora_weights.safetensors"

# ---- what may be given anew ----
expect 0 train --resume "$tmp/part/run" --epochs 3 --checkpoint-every 3 --threads 2 --quiet
check 'it went further' test -d "$tmp/part/run/checkpoints/step-00000003"
expect 0 train --resume "$tmp/part/run" --rank 2 --seed 1 --epochs 3 --method prdp --quiet
expect 0 train --resume "$tmp/part/run" --model "$fixtures/../fixtures/pipeline_sd1/" --epochs 3 --quiet

# ---- what is refused ----
cp -r "$tmp/part/run" "$tmp/before"
while IFS='|' read -r options pattern; do
    expect 2 train --resume "$tmp/part/run" $options
    says "$pattern"
done <<END
--rank 3|--rank: the run began with 2, now it is 3
--lr 0.02|--lr: the run began with 0.01, now it is 0.02
--reward scene|--reward: the run began with .*clip_score.*, now it is .*scene
--seed 2|--seed: the run began with 1, now it is 2
--eval-samples 3|--eval-samples: the run began with 2, now it is 3
--model $fixtures/pipeline_sd2|--model: the run began with .*pipeline_sd1.*pipeline_sd2
--set steps=3|--steps: the run began with 2, now it is 3
--full|--full: the run began with false, now it is true
--method sft|began with --method prdp, not sft
-o $tmp/elsewhere|leave out -o
--nosuch 3|--nosuch is no option here
END
printf '{"rank": 5}' >"$tmp/rank.json"
expect 2 train --resume "$tmp/part/run" --config "$tmp/rank.json"
says '--rank: the run began with 2, now it is 5'
expect 2 train --resume
says 'tiller train --resume RUN'
expect 2 train "--resume=$tmp/part/run"
says "write --resume $tmp/part/run"
expect 2 train $tune "$tmp/part/run"
says 'one argument too many'
expect 2 train $tune -o "$tmp/part/run"
says "holds another run; .*--resume $tmp/part/run"
expect 4 train --resume "$tmp/nowhere"
says 'nowhere holds no run that could go on'
absent "$tmp/nowhere"
check 'nothing was touched' diff -r -x run.lock "$tmp/before" "$tmp/part/run"

# the files that it began with
cp "$tmp/three.txt" "$tmp/three.kept"
printf 'a green star\n' >>"$tmp/three.txt"
expect 4 train --resume "$tmp/part/run"
says 'three.txt \(prompts\) is no longer the file that the run in .*part/run began with'
mv "$tmp/three.kept" "$tmp/moved.txt"
rm "$tmp/three.txt"
run train --resume "$tmp/part/run" --prompts "$tmp/moved.txt" --quiet
check 'the same file in another place' test "$code" -eq 0
says 'three.txt, which is not there any more'
check 'and it is said once' test "$(wc -l <"$tmp/err")" -eq 1
cp "$tmp/moved.txt" "$tmp/three.txt"

# the weights that it began with: of the model, of the reward's encoder
cp -r "$fixtures/pipeline_sd1" "$tmp/model"
cp -r "$fixtures/clip_score" "$tmp/clip"
chmod -R u+w "$tmp/model" "$tmp/clip"
own=${tune/$fixtures\/pipeline_sd1/$tmp/model}
own=${own/$fixtures\/clip_score/$tmp/clip}
expect 0 train $own --quiet -o "$tmp/own"
for file in model/unet/diffusion_pytorch_model clip/model; do
    file=$tmp/$file.safetensors
    cp -p "$file" "$tmp/kept"
    printf x | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 2)) conv=notrunc status=none
    expect 4 train --resume "$tmp/own" --epochs 3
    says "is no longer the folder that the run in $tmp/own began with \((unet/diffusion_pytorch_)?model.safetensors differs\)"
    cp -p "$tmp/kept" "$file"
done
touch "$tmp/model/unet/diffusion_pytorch_model.safetensors"
expect 0 train --resume "$tmp/own" --epochs 3 --quiet

# ---- another version, a damaged checkpoint ----
sed -i 's/^  "version": "[^"]*"/  "version": "0.0.1"/' "$tmp/part/run/run.json"
run train --resume "$tmp/part/run" --quiet
check 'another version is no obstacle' test "$code" -eq 0
says 'warning: .*begun by version 0.0.1, goes on with '
cp -r "$tmp/whole" "$tmp/torn"
truncate -s 100 "$tmp/torn/run/checkpoints/step-00000002/weights.safetensors"
run train --resume "$tmp/torn/run" --quiet
check 'the one before it is taken' test "$code" -eq 0
says 'checkpoint step-00000002 skipped: .*weights.safetensors'
check 'and leads to the same bytes' same_run "$tmp/whole/run" "$tmp/torn/run"
for f in "$tmp"/torn/run/checkpoints/*/weights.safetensors; do truncate -s 100 "$f"; done
run train --resume "$tmp/torn/run" --quiet
check 'none is left' test "$code" -eq 4
says 'none of its [0-9]+ checkpoints can be used'

finish
