#include <math.h>

#include "metrics/intervals.h"

/* Continued fraction of the incomplete beta function (Lentz's way; Abramowitz and Stegun 26.5.8). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m < 500; m++) {
        double k = m, even = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k));
        double odd = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1));
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            h *= d * c;
        }
        if (fabs(d * c - 1) < 1e-15) break;
    }
    return h;
}

static double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double tl_student_quantile(double level, double dof)
{
    if (!(level > 0 && level < 1) || !(dof > 0)) return NAN;
    double low = 0, high = 1;
    /* P(|T| > t) = I_{dof / (dof + t^2)}(dof / 2, 1 / 2) */
    while (high < 1e12 && incomplete_beta(dof / 2, 0.5, dof / (dof + high * high)) > 1 - level) high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
        double mid = 0.5 * (low + high);
        if (incomplete_beta(dof / 2, 0.5, dof / (dof + mid * mid)) > 1 - level)
            low = mid;
        else
            high = mid;
    }
    return 0.5 * (low + high);
}
