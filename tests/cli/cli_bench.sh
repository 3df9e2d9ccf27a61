# tiller bench: the rows and fields that scripts rely on.
. "$(dirname "$0")/support.sh"

expect 0 bench --list
for name in gemm_nn_1024 gemm_nt_1024 gemm_tn_1024 conv3x3_fwd conv3x3_dgrad conv3x3_wgrad conv3x3 conv3x3_stem conv3x3_strided conv1x1 conv1x7 conv7x1 unet_forward unet_train_step clip_b32 clip_l14 inception; do
    prints "^ +$name "
done
expect 0 bench --device cpu --json softmax layer_norm
check 'an array' test "$(head -c 1 "$tmp/out")" = '['
for key in name device ms gflops gbytes_s peak_fraction; do
    check "two rows have $key" test "$(grep -c "\"$key\": " "$tmp/out")" -eq 2
done
prints '"name": "softmax"'
prints '"device": "cpu"'
check 'times are above 0' sh -c "! grep -E '\"(ms|gflops|gbytes_s|peak_fraction)\": (0,|null|-)' '$tmp/out'"
expect 0 bench --device cpu layer_norm
prints '^multiply-add loop '
prints '^triad loop '
expect 2 bench gemm_nn_1025
says 'did you mean gemm_nn_1024'
finish
