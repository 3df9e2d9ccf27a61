# tiller forward: parity with the fixtures' libraries as a command, and everything that it must refuse.
. "$(dirname "$0")/support.sh"

unet=$fixtures/unet_sd1
"$tool" take "$unet/io.safetensors" cot. "$tmp/cot.safetensors" || exit 1
mkdir "$tmp/o"

# outputs
expect 0 forward "$unet" --device cpu --input "$unet/io.safetensors" -o "$tmp/o/out.safetensors"
prints 'sample +2, 4, 8, 8'
check 'outputs as the library has them' "$tool" compare "$tmp/o/out.safetensors" "$unet/io.safetensors" out. 1e-4
expect 0 forward "$unet" --device cpu --input "$unet/io.safetensors" -o "$tmp/o/again.safetensors" --quiet --threads 1
check 'quiet prints nothing' test ! -s "$tmp/out"
check 'the same bytes on one thread' cmp "$tmp/o/out.safetensors" "$tmp/o/again.safetensors"
expect 0 forward "$unet" --device cpu --input "$unet/io.safetensors" -o "$tmp/o/out.safetensors" --json
prints '"schema": "tiller.forward/1"'

# every gradient that the fixture knows
names=$("$tool" names "$unet/io.safetensors" | sed -n 's/^grad\.//p' | paste -sd, -)
expect 0 forward "$unet" --device cpu --input "$unet/io.safetensors" -o "$tmp/o/out.safetensors" --cotangent "$tmp/cot.safetensors" --wrt "$names"
check 'gradients as the library has them' "$tool" compare "$tmp/o/out.safetensors" "$unet/io.safetensors" out. 1e-3
check 'as many as were asked for' test "$("$tool" names "$tmp/o/out.safetensors" | grep -c '^grad\.')" -eq "$(echo "$names" | tr , '\n' | wc -l)"

# methods, and the other classes
vae=$fixtures/vae_sd
expect 0 forward "$vae" --device cpu --input "$vae/io.safetensors" -o "$tmp/o/vae.safetensors" --method encode
prints logvar
check 'encode' "$tool" compare "$tmp/o/vae.safetensors" "$vae/io.safetensors" out. 1e-4
expect 0 forward "$vae" --device cpu --input "$vae/io.safetensors" -o "$tmp/o/vae.safetensors" --method decode
check 'decode' "$tool" compare "$tmp/o/vae.safetensors" "$vae/io.safetensors" out. 1e-4
for name in clip_model clip_text_v4 clip_text_projection clip_vision_projection unet_xl; do
    expect 0 forward "$fixtures/$name" --device cpu --input "$fixtures/$name/io.safetensors" -o "$tmp/o/other.safetensors"
    check "$name" "$tool" compare "$tmp/o/other.safetensors" "$fixtures/$name/io.safetensors" out. 1e-4
done
rm "$tmp"/o/*

# usage
in="--device cpu --input $unet/io.safetensors"
expect 2 forward "$unet" -o "$tmp/o/x.safetensors"
says 'needs --input'
expect 2 forward "$unet" --input "$unet/io.safetensors"
says 'needs -o'
expect 2 forward
says 'needs COMPONENT_DIR'
expect 2 forward "$unet" $in -o "$tmp/o/x.safetensors" --wrt sample
says 'needs --cotangent'
expect 2 forward "$unet" $in -o "$tmp/o/x.safetensors" --cotangent "$tmp/cot.safetensors"
says 'needs --wrt'
expect 2 forward "$unet" $in -o "$tmp/o/x.safetensors" --cotangent "$tmp/cot.safetensors" --wrt no.such.weight
says 'no.such.weight'
expect 2 forward "$unet" $in -o "$tmp/o/x.safetensors" --cotangent "$tmp/cot.safetensors" --wrt sample,sample
says 'twice'
expect 2 forward "$unet" $in -o "$tmp/o/x.safetensors" --method decode
says "no method 'decode'"
expect 2 forward "$unet" --device toaster --input "$unet/io.safetensors" -o "$tmp/o/x.safetensors"
says toaster

# places to write
expect 5 forward "$unet" $in -o "$tmp/nowhere/x.safetensors"
says nowhere
expect 5 forward "$unet" $in -o "$tmp/o"
says 'is a folder'
if [ "$(id -u)" -ne 0 ]; then # root may write everywhere
    chmod a-w "$tmp/o"
    expect 5 forward "$unet" $in -o "$tmp/o/x.safetensors"
    chmod u+w "$tmp/o"
fi

# inputs
expect 4 forward "$tmp/nothing" $in -o "$tmp/o/x.safetensors"
says nothing/config.json
expect 4 forward "$unet" --device cpu --input "$tmp/missing.safetensors" -o "$tmp/o/x.safetensors"
says missing.safetensors
expect 4 forward "$unet" --device cpu --input "$vae/io.safetensors" -o "$tmp/o/x.safetensors"
says timestep
head -c 3000 "$unet/io.safetensors" >"$tmp/cut.safetensors"
expect 4 forward "$unet" --device cpu --input "$tmp/cut.safetensors" -o "$tmp/o/x.safetensors"
says cut.safetensors
expect 4 forward "$unet" $in -o "$tmp/o/x.safetensors" --cotangent "$tmp/cut.safetensors" --wrt sample
expect 4 forward "$unet" $in -o "$tmp/o/x.safetensors" --cotangent "$unet/config.json" --wrt sample
"$tool" take "$unet/io.safetensors" grad.conv_in. "$tmp/strange.safetensors"
expect 4 forward "$unet" $in -o "$tmp/o/x.safetensors" --cotangent "$tmp/strange.safetensors" --wrt sample
says 'names no output'

# nothing half-written, no temporary left
holds "$tmp/o"

# an existing file survives a failure
echo precious >"$tmp/o/x.safetensors"
expect 4 forward "$unet" --device cpu --input "$tmp/cut.safetensors" -o "$tmp/o/x.safetensors"
check 'the old file is still there' test "$(cat "$tmp/o/x.safetensors")" = precious
holds "$tmp/o" x.safetensors
finish
