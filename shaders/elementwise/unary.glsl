// The functions of engine/tensor/unary.def, read from that very file: KIND is the row's number.
#define R(c) float(c)
#define EXP(x) tl_exp(x)
#define LOG(x) tl_log(x)
#define SQRT(x) sqrt(x)
#define TANH(x) tl_tanh(x)
#define ERF(x) tl_erf(x)
#define SIN(x) tl_sincos(x).x
#define COS(x) tl_sincos(x).y
#define FABS(x) abs(x)
#define SIGMOID(x) tl_sigmoid(x)

#define TL_UNARY(NAME, name, f, df)                                                                                    \
    if (KIND == row++) return f;
float unary(float x, float a, float b)
{
    int row = 0;
#include "../engine/tensor/unary.def"
    return x;
}
#undef TL_UNARY

#define TL_UNARY(NAME, name, f, df)                                                                                    \
    if (KIND == row++) return df;
float unary_slope(float x, float a, float b)
{
    int row = 0;
#include "../engine/tensor/unary.def"
    return x;
}
#undef TL_UNARY
