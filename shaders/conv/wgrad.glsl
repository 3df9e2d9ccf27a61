// Weight gradient as a product over pixels: dw[m, co] = sum over (n,oh,ow) x[n, oh*s + kh*d - pad, ..., ci] dy[n,oh,ow,co]
// with m = (kh*KW + kw)*CI + ci. The outer loop walks rows of pixels (n,oh), so that nothing is divided inside.
// z = split: rows [first_row + split*rows_part, ...) of first_row .. n_rows - 1, its sums `split_stride` apart in the output.
// Mirrors struct wgrad_push (gpu_conv.c).
layout(push_constant) uniform Push {
    int M, NC, CI, KW;
    int first_row, n_rows, rows_part, split_stride;
    int OH, OW, H, W;
    int stride_y, stride_x, dilation_y, dilation_x, pad_y, pad_x;
    float alpha;
} p;
