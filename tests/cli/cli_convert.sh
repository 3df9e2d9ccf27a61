# tiller convert and tiller merge: every form to every other, a merged model that draws as the LoRA does, and
# what they must refuse without leaving anything behind.
. "$(dirname "$0")/support.sh"

model=$fixtures/pipeline_sd1
lora=$fixtures/lora_sd1/pytorch_lora_weights.safetensors
wide=$fixtures/lora_wide/kohya.safetensors
draw="--model $model --device cpu --steps 4 --seed 7 -n 2 --prompt a"

# round about: the same bytes
expect 0 convert "$lora" --format diffusers --model "$model" -o "$tmp/d0/"
prints '^format +diffusers'
prints '^unet +32 layers'
prints '^rank +4'
expect 0 convert "$tmp/d0" --format kohya --model "$model" -o "$tmp/k.safetensors"
expect 0 convert "$tmp/k.safetensors" --format peft --model "$model/unet" -o "$tmp/p"
holds "$tmp/p" adapter_config.json adapter_model.safetensors
expect 0 convert "$tmp/p" --model "$model" -o "$tmp/d1.safetensors" --quiet
check 'quiet prints nothing' test ! -s "$tmp/out"
check 'diffusers, kohya, peft, diffusers: the same bytes' cmp "$tmp/d0/pytorch_lora_weights.safetensors" "$tmp/d1.safetensors"
expect 0 convert "$wide" --format peft --model "$model" -o "$tmp/wp"
expect 0 convert "$tmp/wp" --format kohya --model "$model" -o "$tmp/wk.safetensors"
expect 0 convert "$tmp/wk.safetensors" --format peft --model "$model" -o "$tmp/wp2"
check 'a scale that is not 1 stays as it is' cmp "$tmp/wp/adapter_model.safetensors" "$tmp/wp2/adapter_model.safetensors"
check 'in the config too' cmp "$tmp/wp/adapter_config.json" "$tmp/wp2/adapter_config.json"

# all forms draw the same picture; half precision nearly
expect 0 sample $draw --lora "$lora" -o "$tmp/a"
for form in "$tmp/d0" "$tmp/k.safetensors" "$tmp/p"; do
    rm -rf "$tmp/b"
    expect 0 sample $draw --lora "$form" -o "$tmp/b"
    check "$form draws the same" "$tool" pixels "$tmp/a/00001.png" "$tmp/b/00001.png" 0
done
expect 0 convert "$lora" --format kohya --model "$model" --dtype bf16 -o "$tmp/h.safetensors"
prints '^dtype +BF16'
expect 0 convert "$tmp/h.safetensors" --model "$model" -o "$tmp/h2.safetensors"
prints '^dtype +BF16'
expect 0 inspect "$tmp/k.safetensors" --brief
prints 'format +kohya'
prints 'ss_base_model_version +sd_v1'
prints 'sshs_model_hash +[0-9a-f]{64}'
expect 0 inspect "$tmp/d1.safetensors" --brief
prints 'format +diffusers'
prints 'alpha +4'
prints 'parts +unet'

expect 0 inspect "$tmp/d0" --brief
prints '^kind +adapter'
prints 'format +diffusers'

# merged: the picture is the one that the LoRAs give
expect 0 merge --model "$model" --lora "$lora" -o "$tmp/m/"
prints '^unet +32 weights changed'
expect 0 merge --model "$model" --lora "$lora" -o "$tmp/m0" -q --json
prints '"schema": "tiller.merge/1"'
expect 0 convert "$lora" --format kohya --model "$model" -o "$tmp/q.safetensors" -q --json
prints '"schema": "tiller.convert/1"'
rm -rf "$tmp/b"
expect 0 sample $draw --model "$tmp/m" -o "$tmp/b"
check 'merged draws as with --lora' "$tool" pixels "$tmp/a/00001.png" "$tmp/b/00001.png" 0
check 'other files are copies' cmp "$model/vae/diffusion_pytorch_model.safetensors" "$tmp/m/vae/diffusion_pytorch_model.safetensors"
check 'the tokenizer too' cmp "$model/tokenizer/vocab.json" "$tmp/m/tokenizer/vocab.json"
expect 0 merge --model "$model" --lora "$lora@0.5" --lora "$wide@-0.25" -o "$tmp/m2"
rm -rf "$tmp/a" "$tmp/b"
expect 0 sample $draw --lora "$lora@0.5" --lora "$wide@-0.25" -o "$tmp/a"
expect 0 sample $draw --model "$tmp/m2" -o "$tmp/b"
check 'two with scales' "$tool" pixels "$tmp/a/00000.png" "$tmp/b/00000.png" 0
check 'which is another picture' sh -c "! '$tool' pixels '$tmp/a/00000.png' '$tmp/a/00001.png' 1"
mkdir "$tmp/m3"
expect 0 merge --model "$model" --lora "$lora" --dtype f16 -o "$tmp/m3"
expect 0 inspect "$tmp/m3"
prints 'unet .* F16 '
prints 'vae .* F16 '
expect 0 sample $draw --model "$tmp/m3" -o "$tmp/c"

# what would be stale is left out: variants and single files
cp -r "$model" "$tmp/v"
chmod -R u+w "$tmp/v"
cp "$tmp/v/unet/diffusion_pytorch_model.safetensors" "$tmp/v/unet/diffusion_pytorch_model.fp16.safetensors"
cp "$tmp/v/unet/diffusion_pytorch_model.safetensors" "$tmp/v/v1-5.safetensors"
mkdir "$tmp/v/.git" "$tmp/v/other"
echo text >"$tmp/v/README.md"
expect 0 merge --model "$tmp/v" --lora "$lora" -o "$tmp/m4"
holds "$tmp/m4" README.md model_index.json scheduler text_encoder tokenizer unet vae
holds "$tmp/m4/unet" config.json diffusion_pytorch_model.safetensors

# refusals, and nothing is left
expect 5 merge --model "$model" --lora "$lora" -o "$tmp/m"
says 'not empty'
expect 5 merge --model "$model" --lora "$lora" -o "$tmp/k.safetensors"
expect 4 merge --model "$model" --lora "$tmp/none.safetensors" -o "$tmp/x"
says 'there is no such file'
expect 4 merge --model "$fixtures/pipeline_xl" --lora "$lora" -o "$tmp/x"
says 'pytorch_lora_weights.safetensors.*\[4, 8\] does not fit the layer.s weight.*another model'
expect 4 merge --model "$model" --lora "$model/unet/diffusion_pytorch_model.safetensors" -o "$tmp/x"
says 'none of its'
expect 4 merge --model "$fixtures" --lora "$lora" -o "$tmp/x"
says 'model_index.json'
expect 2 merge --model "$model" -o "$tmp/x"
says '--lora'
head -c 900 "$model/vae/diffusion_pytorch_model.safetensors" >"$tmp/v/vae/diffusion_pytorch_model.safetensors"
expect 4 merge --model "$tmp/v" --lora "$lora" --dtype bf16 -o "$tmp/x"
says 'vae/diffusion_pytorch_model.safetensors'
absent "$tmp/x"
check 'no temporary folder stays' sh -c "! ls -d '$tmp'/x* 2>/dev/null"
expect 4 convert "$lora" --format kohya -o "$tmp/x.safetensors"
says 'name the model that it is for with --model'
expect 4 convert "$lora" --format kohya --model "$tmp/nowhere" -o "$tmp/x.safetensors"
expect 4 convert "$tmp/nowhere" --format kohya -o "$tmp/x.safetensors"
says 'no such file'
expect 2 convert "$lora" --format kohya --model "$model"
says '-o'
expect 2 convert "$lora" --format kohya --model "$model" -o "$tmp/x.bin"
says 'must end in .safetensors'
expect 2 convert "$lora" --format koya --model "$model" -o "$tmp/x.safetensors"
expect 2 convert "$lora" --format peft --part vae --model "$model" -o "$tmp/x"
expect 4 convert "$lora" --format peft --part text_encoder --model "$model" -o "$tmp/x"
says 'no adapters of the text_encoder'
expect 5 convert "$lora" --format peft --model "$model" -o "$tmp/k.safetensors"
expect 5 convert "$lora" --format kohya --model "$model" -o "$tmp/p"
absent "$tmp/x.safetensors"
absent "$tmp/x"
finish
