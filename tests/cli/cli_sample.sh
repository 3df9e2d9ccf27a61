# tiller sample: numbered pictures with their settings, the same bytes for the same seed, and what it must refuse.
. "$(dirname "$0")/support.sh"

model=$fixtures/pipeline_sd1
common="--model $model --device cpu --steps 4"

# a seed is a picture, in any batch and alone
expect 0 sample $common --prompt 'a red circle' --prompt 'a blue square' -n 2 --seed 7 -o "$tmp/a"
prints '^pictures +4'
prints '^seed +7'
holds "$tmp/a" 00000.png 00001.png 00002.png 00003.png metadata.jsonl
expect 0 sample $common --prompt 'a red circle' --prompt 'a blue square' -n 2 --seed 7 --batch 1 --threads 1 -o "$tmp/b" --quiet
check 'quiet prints nothing' test ! -s "$tmp/out"
for i in 0 1 2 3; do
    check "picture $i does not depend on its batch" "$tool" pixels "$tmp/a/0000$i.png" "$tmp/b/0000$i.png" 0
done
expect 0 sample $common --prompt 'a blue square' --first 2 --seed 7 -o "$tmp/c"
check 'nor on the others' "$tool" pixels "$tmp/a/00002.png" "$(ls "$tmp"/c/*.png)" 0
expect 0 sample $common --prompt 'a red circle' --prompt 'a blue square' -n 2 --seed 8 -o "$tmp/d"
check 'another seed, another picture' sh -c "! '$tool' pixels '$tmp/a/00000.png' '$tmp/d/00000.png' 1"
check 'another number, another picture' sh -c "! '$tool' pixels '$tmp/a/00000.png' '$tmp/a/00001.png' 1"
expect 0 inspect "$tmp/a/00002.png"
prints 'parameters +a blue square$'
prints 'Seed: 7'

# latents go out and come in
expect 0 sample $common --prompt 'a red circle' -n 2 --seed 7 --save-latents "$tmp/l.safetensors" -o "$tmp/e"
expect 0 inspect "$tmp/l.safetensors"
prints 'latents +F32 +\[2, 4, 8, 8\]'
expect 0 sample $common --prompt 'a red circle' -n 2 --seed 1 --init-latents "$tmp/l.safetensors" -o "$tmp/f"
expect 0 sample $common --prompt 'a red circle' -n 2 --seed 2 --init-latents "$tmp/l.safetensors" -o "$tmp/g"
check 'given noise, the seed does not matter' "$tool" pixels "$tmp/f/00001.png" "$tmp/g/00001.png" 0
check 'other noise, another picture' sh -c "! '$tool' pixels '$tmp/f/00001.png' '$tmp/e/00001.png' 1"
expect 4 sample $common --prompt "a red circle" -n 3 --init-latents "$tmp/l.safetensors" -o "$tmp/x"

# samplers: each draws, noise is part of a seed, karras where there is any
expect 0 list samplers
prints '^  dpmpp2m_sde '
for s in ddim ddpm euler euler_a dpmpp2m dpmpp2m_sde; do
    expect 0 sample $common --prompt 'a red circle' --seed 7 --sampler $s -o "$tmp/s-$s"
    prints "^sampler +$s, 4 steps"
done
expect 0 sample $common --prompt 'a red circle' -n 2 --batch 1 --seed 7 --sampler dpmpp2m_sde -o "$tmp/s-2"
check 'noise does not depend on the batch' "$tool" pixels "$tmp/s-2/00000.png" "$tmp/s-dpmpp2m_sde/00000.png" 0
expect 0 sample $common --prompt 'a red circle' --seed 7 --sampler dpmpp2m --sigmas karras -o "$tmp/s-k"
prints '^sampler +dpmpp2m, karras sigmas, 4 steps'
expect 0 inspect "$tmp/s-k/00000.png"
prints 'Sampler: DPM\+\+ 2M Karras,'
expect 2 sample $common --prompt a --sampler euler_a --sigmas karras -o "$tmp/x"
says 'karras'
run sample $common --prompt a --sampler euler --eta 0.5 -o "$tmp/s-eta"
says 'no effect on sampler euler'

# a scheduler as diffusers writes it
cp -r "$model" "$tmp/dpm"
cat >"$tmp/dpm/scheduler/scheduler_config.json" <<END
{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "lambda_min_clipped": -Infinity,
 "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "use_karras_sigmas": true}
END
expect 0 sample --model "$tmp/dpm" --device cpu --steps 4 --prompt a -o "$tmp/s-dpm"
prints '^sampler +dpmpp2m_sde, karras sigmas, 4 steps'

# files of prompts
printf 'a red circle\n\na blue square\n' >"$tmp/p.txt"
expect 0 sample $common --prompts "$tmp/p.txt" -o "$tmp/h" -q --json # quiet, but for what was asked for
prints '"schema": "tiller.sample/1"'
printf '{"prompt": "a red circle", "note": 5}\n' >"$tmp/p.jsonl"
expect 0 sample $common --prompts "$tmp/p.jsonl" -o "$tmp/i"
check 'members of the row come along' grep -q '"note":5' "$tmp/i/metadata.jsonl"

# a long prompt is cut, with a warning that says what was cut
long=$(yes circle | head -90 | tr '\n' ' ')
run sample $common --prompt "$long zebra" -o "$tmp/j"
check 'a cut prompt is no failure' test "$code" -eq 0
says '^tiller: warning: '
says 'zebra'

# refusals
: >"$tmp/empty.txt"
expect 4 sample $common --prompts "$tmp/empty.txt" -o "$tmp/x"
says 'empty.txt'
expect 4 sample $common --prompts "$tmp/missing.txt" -o "$tmp/x"
expect 2 sample $common -o "$tmp/x"
says 'prompt'
expect 2 sample --model "$model" --prompt a
expect 2 sample --prompt a -o "$tmp/x"
says 'model'
expect 2 sample $common --prompt a --sampler nosuch -o "$tmp/x"
says nosuch
expect 2 sample $common --prompt a --size 17 -o "$tmp/x"
expect 2 sample $common --prompt a --eta 2 -o "$tmp/x"
expect 2 sample $common --prompt a --steps 0 -o "$tmp/x"
expect 4 sample --model "$tmp/nothing" --prompt a -o "$tmp/x"
expect 4 sample $common --prompt a --init-latents "$fixtures/unet_sd1/config.json" -o "$tmp/x"
expect 4 sample $common --prompt a --lora "$tmp/nothing.safetensors" -o "$tmp/x"
run sample $common --prompt a --lora "$fixtures/unet_sd1/io.safetensors" -o "$tmp/x"
check 'a file that is no adapter' test "$code" -eq 4
check 'a refused job leaves no picture' sh -c "! ls '$tmp/x' 2>/dev/null | grep -q png"
echo file >"$tmp/file"
expect 5 sample $common --prompt a -o "$tmp/file"
finish
