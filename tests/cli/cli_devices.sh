# Machines without Vulkan: no driver, no loader. The cpu device works there, asking for Vulkan is one clear message.
. "$(dirname "$0")/support.sh"

unet=$fixtures/unet_sd1
mkdir "$tmp/o" "$tmp/lib"

expect 0 doctor
prints '^device'
prints '  takes '
prints '  why '
expect 0 doctor --json
prints '"schema": "tiller.doctor/1"'
expect 2 doctor --device vulcan
says "unknown device 'vulcan'"
expect 0 doctor --device cpu
prints 'takes +cpu'
run doctor --device vulkan:63
check 'a device that is not there' test "$code" -eq 6

# where there is one, it computes the same
run doctor --device vulkan
if [ "$code" -eq 0 ]; then
    expect 0 forward "$unet" --device vulkan --input "$unet/io.safetensors" -o "$tmp/o/v.safetensors"
    check 'outputs on vulkan' "$tool" compare "$tmp/o/v.safetensors" "$unet/io.safetensors" out. 1e-4
    rm "$tmp/o/v.safetensors"
else
    echo 'no usable Vulkan device here: that part is skipped'
fi

# no driver
export VK_DRIVER_FILES=/nonexistent VK_ICD_FILENAMES=/nonexistent
expect 0 doctor
prints 'takes +cpu'
expect 6 forward "$unet" --device vulkan --input "$unet/io.safetensors" -o "$tmp/o/x.safetensors"
holds "$tmp/o"
unset VK_DRIVER_FILES VK_ICD_FILENAMES

# no loader: files of its name that are no libraries stand in front of it
printf 'no library' >"$tmp/lib/libvulkan.so.1"
cp "$tmp/lib/libvulkan.so.1" "$tmp/lib/libvulkan.so"
export LD_LIBRARY_PATH=$tmp/lib
expect 0 doctor
prints 'takes +cpu'
prints 'why +(no|this build has no) Vulkan'
expect 0 forward "$unet" --input "$unet/io.safetensors" -o "$tmp/o/x.safetensors"
rm "$tmp/o/x.safetensors"
expect 6 forward "$unet" --device vulkan --input "$unet/io.safetensors" -o "$tmp/o/x.safetensors"
says '[Vv]ulkan'
holds "$tmp/o"
unset LD_LIBRARY_PATH
finish
