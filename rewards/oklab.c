#include "rewards/oklab.h"

#include <math.h>

const double tl_oklab_cones[3][3] = {{0.4122214708, 0.5363325363, 0.0514459929},
                                     {0.2119034982, 0.6806995451, 0.1073969566},
                                     {0.0883024619, 0.2817188376, 0.6299787005}};
const double tl_oklab_axes[3][3] = {{0.2104542553, 0.7936177850, -0.0040720468},
                                    {1.9779984951, -2.4285922050, 0.4505937099},
                                    {0.0259040371, 0.7827717662, -0.8086757660}};

double tl_srgb_to_linear(double x)
{
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

void tl_oklab_of_linear(const double rgb[3], double out[3])
{
    double cone[3];
    for (int i = 0; i < 3; i++)
        cone[i] = cbrt(tl_oklab_cones[i][0] * rgb[0] + tl_oklab_cones[i][1] * rgb[1] +
                       tl_oklab_cones[i][2] * rgb[2]);
    for (int i = 0; i < 3; i++)
        out[i] =
            tl_oklab_axes[i][0] * cone[0] + tl_oklab_axes[i][1] * cone[1] + tl_oklab_axes[i][2] * cone[2];
}
