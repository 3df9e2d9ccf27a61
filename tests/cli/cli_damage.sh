# Damaged and unsupported models: one message that names file and reason, the right code, nothing written.
. "$(dirname "$0")/support.sh"

unet=$fixtures/unet_sd1
weights=diffusion_pytorch_model.safetensors
mkdir "$tmp/o"

# fresh: a copy of the component to break
fresh() {
    rm -rf "$tmp/m"
    mkdir "$tmp/m"
    cp "$unet/config.json" "$unet/$weights" "$tmp/m"
    chmod -R u+w "$tmp/m"
}

# refuses PATTERN: forward on the broken copy
refuses() {
    expect 4 forward "$tmp/m" --device cpu --input "$unet/io.safetensors" -o "$tmp/o/x.safetensors"
    says "$1"
    holds "$tmp/o"
}

# header TEXT [DATA_BYTES]: a safetensors file from its JSON header
header() {
    local n=${#1} i
    for i in 0 1 2 3 4 5 6 7; do printf "\\x$(printf %x $((n >> (8 * i) & 255)))"; done
    printf %s "$1"
    head -c "${2:-0}" /dev/zero
}

# the container
fresh; head -c 100 "$unet/$weights" >"$tmp/m/$weights"; refuses "$weights"
fresh; head -c 40000 "$unet/$weights" >"$tmp/m/$weights"; refuses "$weights"
fresh; : >"$tmp/m/$weights"; refuses "$weights"
fresh; printf '\377\377\377\377\377\377\377\177{}' >"$tmp/m/$weights"; refuses "$weights"
fresh; header '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}' 12 >"$tmp/m/$weights"; refuses "$weights"
fresh; header '{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}' 8 >"$tmp/m/$weights"; refuses "$weights"
fresh; header '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}' 16 >"$tmp/m/$weights"; refuses "$weights"
fresh; header 'not json at all' >"$tmp/m/$weights"; refuses "$weights"

# right container, wrong tensors
fresh; header '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8 >"$tmp/m/$weights"; refuses 'is missing'
fresh; cp "$fixtures/unet_sd2/$weights" "$tmp/m/$weights"; refuses 'shape|\[|missing|lacks'
fresh; rm "$tmp/m/$weights"; refuses "$weights"
fresh; rm "$tmp/m/$weights"; printf 'no checkpoint' >"$tmp/m/diffusion_pytorch_model.bin"; refuses 'diffusion_pytorch_model.bin'

# the config: value after value that is not supported, by name
while IFS='|' read -r edit pattern; do
    fresh
    sed -i "$edit" "$tmp/m/config.json"
    check "the edit $edit changes the config" sh -c "! cmp -s '$tmp/m/config.json' '$unet/config.json'"
    refuses "$pattern"
done <<'END'
s/"act_fn": "silu"/"act_fn": "tanhshrink"/|act_fn
s/"UNet2DConditionModel"/"UNet3DConditionModel"/|UNet3DConditionModel
s/"CrossAttnDownBlock2D"/"SimpleCrossAttnDownBlock2D"/|SimpleCrossAttnDownBlock2D
s/"in_channels": 4/"in_channels": -4/|in_channels
s/"in_channels": 4/"in_channels": 4e30/|in_channels
s/"norm_num_groups": [0-9]*/"norm_num_groups": 3/|norm groups
s/"layers_per_block": [0-9]*/"layers_per_block": "two"/|layers_per_block
s/"resnet_time_scale_shift": "default"/"resnet_time_scale_shift": "spatial"/|resnet_time_scale_shift
s/"class_embed_type": null/"class_embed_type": "telepathy"/|class_embed_type
s/"_class_name"/"_name"/|class
s/^{/{{/|config.json
END
fresh; : >"$tmp/m/config.json"; refuses 'config.json'
fresh; rm "$tmp/m/config.json"; refuses 'config.json'
fresh; printf '{"_class_name": "UNet2DConditionModel", "_class_name": "UNet2DConditionModel"}' >"$tmp/m/config.json"; refuses 'config.json'
fresh; head -c 200000 /dev/zero | tr '\0' '[' >"$tmp/m/config.json"; refuses 'config.json'
finish
