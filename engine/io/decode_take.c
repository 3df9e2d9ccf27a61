/* What a worker has left in the mapping, checked and taken into memory of our own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "io/decode_run.h"

enum { CHANNELS = 3, GIVE_BACK = 8 << 20 };

void decode_give_back(const struct decode_run *run, int slot)
{
    madvise(run->pool->plan.shared[slot], run->pool->plan.shared_bytes, MADV_REMOVE);
}

/* Pages that are copied go back as we go: a large sound is not in memory twice. */
static void move_out(const struct decode_run *run, int slot, void *to, size_t n)
{
    uint8_t *from = run->pool->plan.shared[slot];
    for (size_t at = 0; at < n; at += GIVE_BACK) {
        size_t part = n - at < GIVE_BACK ? n - at : GIVE_BACK;
        memcpy((uint8_t *)to + at, from + at, part);
        if (part == GIVE_BACK) madvise(from + at, part, MADV_REMOVE);
    }
    if (n >= GIVE_BACK) decode_give_back(run, slot);
}

static bool take_pixels(struct decode_run *run, int slot, struct decode_result *result, struct tl_err *err)
{
    struct tl_image *out = &result->image;
    size_t n = CHANNELS * (size_t)out->width * (size_t)out->height;
    out->px = malloc(n);
    if (!out->px)
        return tl_err_set(err, TL_FAIL, "out of memory for a picture of %dx%d", out->width, out->height);
    move_out(run, slot, out->px, n);
    result->n_bytes = n;
    return true;
}

/* False where values are not finite: tl_sound_decode refuses those. */
static bool take_samples(struct decode_run *run, int slot, const struct decode_reply *reply,
                         struct decode_result *result)
{
    struct tl_sound *out = &result->sound;
    size_t job = run->pool->slots[slot].job;
    char reason[80];
    if (!tl_sound_init(out, reply->rate, reply->channels, (size_t)reply->frames, NULL)) {
        snprintf(reason, sizeof reason, "out of memory for a sound of %lld frames", (long long)reply->frames);
        decode_fail_job(run, job, reason);
        decode_give_back(run, slot);
        return true;
    }
    size_t n = out->frames * (size_t)out->channels;
    result->n_bytes = n * sizeof *out->samples;
    move_out(run, slot, out->samples, result->n_bytes);
    for (size_t i = 0; i < n; i++) {
        if (isfinite(out->samples[i])) continue;
        tl_sound_finish(out);
        result->n_bytes = 0;
        return false;
    }
    return true;
}

static bool is_honest_sound(const struct decode_run *run, const struct decode_reply *reply)
{
    return reply->rate >= TL_SOUND_MIN_RATE && reply->rate <= TL_SOUND_MAX_RATE && reply->channels >= 1 &&
           reply->channels <= TL_SOUND_MAX_CHANNELS && reply->frames >= 1 &&
           (uint64_t)reply->frames <= run->pool->plan.params.most_samples / (uint64_t)reply->channels;
}

static bool is_honest_picture(const struct decode_run *run, const struct tl_decode_job *job,
                              const struct decode_reply *reply)
{
    if (reply->width < 1 || reply->height < 1 ||
        (size_t)reply->width * (size_t)reply->height > run->pool->plan.params.most_pixels)
        return false;
    bool fits = job->kind == TL_DECODE_PIXELS && (job->width != 0 || job->height != 0);
    return !fits || (reply->width == job->width && reply->height == job->height);
}

bool decode_take_answer(struct decode_run *run, int slot, const struct decode_reply *reply, bool *is_honest,
                        struct tl_err *err)
{
    size_t job = run->pool->slots[slot].job;
    struct decode_result *result = decode_result_of(run, job);
    if (run->sounds) {
        *is_honest = is_honest_sound(run, reply) && take_samples(run, slot, reply, result);
        return true;
    }
    *is_honest = is_honest_picture(run, &run->jobs[job], reply);
    if (!*is_honest) return true;
    result->image = (struct tl_image){.width = reply->width, .height = reply->height, .channels = CHANNELS};
    return run->jobs[job].kind == TL_DECODE_SIZE || take_pixels(run, slot, result, err);
}
