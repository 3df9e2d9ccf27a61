# tiller inspect: every kind of thing that it knows, text and JSON, and what it must refuse.
. "$(dirname "$0")/support.sh"

expect 0 inspect "$fixtures/pipeline_sd1"
prints '^kind +model'
prints 'unet +UNet2DConditionModel +yes +16\.93 k'
prints '77 tokens a prompt'
expect 0 inspect "$fixtures/pipeline_sd1" --json
prints '"schema": "tiller.inspect/1"'
prints '"parameters": 16932|"parameters": 169[0-9][0-9]'
expect 0 inspect "$fixtures/unet_sd1" --brief
prints '^kind +component'
prints 'block_out_channels +4, 8'
expect 0 inspect "$fixtures/unet_sd1/io.safetensors"
prints 'encoder_hidden_states +F32 +\[2, 7, 8\]'
expect 0 inspect "$fixtures/pipeline_sd1/scheduler"
prints 'DDIMScheduler'
expect 0 inspect "$fixtures/pipeline_sd1/tokenizer"
prints '^kind +tokenizer'

# adapters: three spellings of one thing
expect 0 inspect "$fixtures/lora_sd1/pytorch_lora_weights.safetensors" --brief
prints 'format +diffusers'
prints 'modules +32'
prints 'rank +4'
prints 'to_out.0 \(8\)'
expect 0 inspect "$fixtures/lora_sd1/kohya.safetensors" --brief
prints 'format +kohya'
prints 'modules +32'
prints 'alpha +[0-9]'
expect 0 inspect "$fixtures/lora_sd1/peft"
prints '^kind +adapter'
prints 'modules +32'
expect 0 inspect "$fixtures/unet_sd1/diffusion_pytorch_model.safetensors"
check 'weights are no adapter' sh -c "! grep -q '^lora' '$tmp/out'"

# a run's folder, as far as it came
mkdir -p "$tmp/run/checkpoints/step-00000010" "$tmp/run/samples"
echo '{"method": "prdp", "epochs": 3}' >"$tmp/run/config.json"
printf '{"step":1,"loss":0.5}\n{"step":2,"loss":0.25}\n{"step":3,"lo' >"$tmp/run/metrics.jsonl"
expect 0 inspect "$tmp/run"
prints '^kind +run'
prints '^metrics +2'
prints 'loss +0.25'
prints 'step-00000010'
prints 'method +prdp'
printf 'x\n' >"$tmp/run/metrics.jsonl"
expect 4 inspect "$tmp/run"
says 'metrics.jsonl'

# a picture's texts
"$tool" picture "$tmp/a.png" parameters "a red circle
Steps: 20, Seed: 7" || exit 1
expect 0 inspect "$tmp/a.png"
prints '^kind +picture'
prints 'parameters +a red circle$'
prints '^ +Steps: 20, Seed: 7$'
expect 0 inspect --json "$tmp/a.png"
prints '"width": 4'

# a pipeline with a damaged member: the rest is told, the code says so
cp -r "$fixtures/pipeline_sd1" "$tmp/p"
chmod -R u+w "$tmp/p"
head -c 900 "$fixtures/pipeline_sd1/vae/diffusion_pytorch_model.safetensors" >"$tmp/p/vae/diffusion_pytorch_model.safetensors"
rm -r "$tmp/p/tokenizer"
run inspect "$tmp/p"
check 'partial' test "$code" -eq 3
says 'warning: vae: '
says 'warning: tokenizer: the folder is missing'
prints 'unet +UNet2DConditionModel +yes'
printf '{"_class_name": "X", "../up": ["diffusers", "AutoencoderKL"]}' >"$tmp/p/model_index.json"
run inspect "$tmp/p"
check 'names do not leave the folder' test "$code" -eq 3
says 'leaves the folder'

# refusals
expect 4 inspect "$tmp/nothing"
says 'No such file'
mkdir "$tmp/empty"
expect 4 inspect "$tmp/empty"
says 'holds no model'
expect 4 inspect /dev/null
says 'neither a file nor a folder'
mkfifo "$tmp/fifo"
expect 4 inspect "$tmp/fifo"
expect 4 inspect "$source/README.md"
says 'README.md is no picture'
: >"$tmp/empty.safetensors"
expect 4 inspect "$tmp/empty.safetensors"
printf '\211PNG\r\n\032\n' >"$tmp/cut.png"
expect 4 inspect "$tmp/cut.png"
says 'cut.png'
finish
