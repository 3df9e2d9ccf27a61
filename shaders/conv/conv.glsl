// Convolutions as products, activations [N,H,W,C], weights [kh,kw,Cin,Cout].
//
// Forward and data gradient are one gather: row m is the pixel (n,i,j) of a grid [N,I,J]; tap (u,v) reads source
// pixel y = i*step_y + u*tap_y + y0 (the same for x), or nothing where that lies outside, and multiplies with
// the weights of (kh0 + u*kh_step, kw0 + v*kw_step); the sum goes to pixel (i*out_y + oy0, j*out_x + ox0) of the output.
//   forward        step = stride, tap = dilation, y0 = -pad; the grid is the output
//   data gradient  source = dy; one dispatch a residue class of the stride, so that only taps that meet are visited
// Mirrors struct conv_push (gpu_conv.c).
layout(push_constant) uniform Push {
    int M, I, J;
    int SY, SX, SC;  // source rows, columns, channels (summed over)
    int NC;          // output channels
    int step_y, step_x, tap_y, tap_x, y0, x0;
    int n_u, n_v, kh0, kw0, kh_step, kw_step, KW;
    int OY, OX, out_y, out_x, oy0, ox0;
    int m0;          // first row of this dispatch
    int out_first;   // element of the output that the bound window starts at
    float alpha;
} p;

struct Pixel {
    int n, i, j;
};

Pixel pixel_of(int m)
{
    Pixel q;
    q.j = m % p.J;
    const int t = m / p.J;
    q.i = t % p.I;
    q.n = t / p.I;
    return q;
}

// First element of the row in the bound window.
int output_at(Pixel q)
{
    return (((q.n * p.OY + q.i * p.out_y + p.oy0) * p.OX + q.j * p.out_x + p.ox0)) * p.NC - p.out_first;
}
