/* VGGish's front end: 25 ms frames every 10 ms, magnitudes, 64 mel bands from 125 to 7500 Hz, ln(mel + 0.01),
 * cut into patches of 96 frames; a tail that fills no patch is dropped. Samples are taken as they are: tools
 * that keep them as 16 bits need tl_sound_to_pcm16 (resample.h) first. Read-only once made: any number of
 * threads may run it. */
#ifndef TL_AUDIO_FRONT_VGGISH_H
#define TL_AUDIO_FRONT_VGGISH_H

#include "audio/front.h"

enum { TL_FRONT_VGGISH_RATE = 16000, TL_FRONT_VGGISH_FRAMES = 96, TL_FRONT_VGGISH_BANDS = 64 };

struct tl_front_vggish_params {
    bool is_padded;   /* less than a second is filled up with zeros to one, as fadtk does; otherwise refused
                         where it gives no patch */
    size_t patch_hop; /* frames from one patch to the next; 0: 96 */
};

struct tl_front_vggish;
struct tl_front_vggish *tl_front_vggish_create(const struct tl_front_vggish_params *params,
                                               struct tl_err *err);
void tl_front_vggish_destroy(struct tl_front_vggish **front);

/* samples [n], one channel at 16 kHz. out: n patches of one channel, 96 frames, 64 bands. TL_BAD_INPUT for
 * less than a patch (15,600 samples), or for no sample at all. */
bool tl_front_vggish_run(const struct tl_front_vggish *front, const float *samples, size_t n,
                         struct tl_front *out, struct tl_err *err);

#endif
