/* sRGB, linear light and OKLab (Björn Ottosson, "A perceptual color space for image processing", 2020). */
#ifndef TL_REWARDS_OKLAB_H
#define TL_REWARDS_OKLAB_H

/* sRGB's decoding (IEC 61966-2-1): 0 to 1 both. */
double tl_srgb_to_linear(double x);

/* Linear light to the cones' answers, and those to L, a, b after a cube root: out = matrix * in. */
extern const double tl_oklab_cones[3][3], tl_oklab_axes[3][3];

void tl_oklab_of_linear(const double rgb[3], double out[3]);

#endif
