#include "encoders/support_synth.h"

#include "support/check.h"

void synth_picture(int width, int height, int seed, struct tl_image *out)
{
    struct tl_err err = {0};
    check_ok(tl_image_init(out, width, height, 3, &err), &err);
    uint8_t *p = out->px;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                *p++ = (uint8_t)((x * (5 + c) + y * (11 - 2 * c) + (x * y >> 4) * seed + 40 * c) & 255);
}

void synth_sound(int rate, size_t frames, int channels, int seed, struct tl_sound *out)
{
    struct tl_err err = {0};
    check_ok(tl_sound_init(out, rate, channels, frames, &err), &err);
    for (size_t f = 0; f < frames; f++) {
        for (int c = 0; c < channels; c++) {
            const int64_t period[3] = {73 + 10 * c + seed, 29 - 3 * c, 411}, gain[3] = {9000, 4000, 6000};
            int64_t i = (int64_t)f, v = 0;
            for (int k = 0; k < 3; k++) {
                int64_t at = 2 * ((i + 5 * k) % period[k]) - period[k];
                v += (at < 0 ? -at : at) * gain[k] / period[k] - gain[k] / 2;
            }
            v += ((i * 1103515245 + 12345 * (c + seed)) % ((int64_t)1 << 31) >> 16) % 1000 - 500;
            out->samples[f * (size_t)channels + (size_t)c] = (float)v / 32768.0f;
        }
    }
}
