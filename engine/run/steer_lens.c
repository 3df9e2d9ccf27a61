/* Rewards on the device: which steps are guided, and whether intermediate rewards go that way. */
#include <math.h>
#include <stdlib.h>

#include "run/steer_parts.h"

bool tl_steer_guides(const struct tl_steer *s)
{
    return s->p->guide > 0 && s->p->lambda != 0;
}

bool tl_steer_window(const struct tl_steer *s, size_t *first, size_t *last)
{
    size_t n = (size_t)s->p->sample.steps;
    /* 0.2 * 20 is a little more than 4 */
    *first = (size_t)ceil(s->p->from * (double)n - 1e-9);
    *last = (size_t)floor(s->p->to * (double)n + 1e-9);
    if (*last >= n) *last = n - 1;
    return *first <= *last;
}

const char **tl_steer_prompts(const struct tl_steer *s, size_t first, size_t n)
{
    const char **list = calloc(n, sizeof *list);
    for (size_t i = 0; list && i < n; i++) list[i] = s->inputs.prompts[(first + i) / s->k].text;
    return list;
}

static bool set_guided(struct tl_steer *s, struct tl_err *err)
{
    size_t first, last, n = (size_t)s->p->sample.steps;
    s->guided = calloc(n, sizeof *s->guided);
    if (!s->guided) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!tl_steer_guides(s)) return true;
    bool any = tl_steer_window(s, &first, &last);
    for (size_t i = first; any && i <= last; i++) {
        s->guided[i] = s->model.steps[i].sigma > 0;
        s->n_guided += s->guided[i];
    }
    return s->n_guided > 0 ||
           tl_err_set(
               err, TL_USAGE,
               "--guide: no step of --from %g --to %g adds noise, so none can be guided; give --eta 1, "
               "a stochastic sampler (ddpm, euler_a, dpmpp2m_sde) or a wider window",
               s->p->from, s->p->to);
}

/* Pictures of one run: the network's, fewer of large ones, as decoding does. */
static int batch_of(const struct tl_sample_model *m)
{
    int most = (1 << 18) / (m->width * m->height);
    return most < 1 ? 1 : most < m->batch ? most : m->batch;
}

bool tl_steer_open_lens(struct tl_steer *s, struct tl_err *err)
{
    struct tl_err why = {0};
    if (!set_guided(s, err)) return false;
    bool asked = s->p->reward_path == TL_REWARD_PATH_DEVICE, serves = tl_reward_lens_serves(s->reward, &why);
    if (!serves && (asked || s->n_guided))
        return tl_err_set(err, why.code, "%s: %s", s->n_guided ? "--guide" : "--reward-path device",
                          why.text);
    s->by_lens = serves && s->n_scored > 0 && s->p->reward_path != TL_REWARD_PATH_BYTES;
    if (!s->by_lens && !s->n_guided) return true;
    s->lens = tl_reward_lens_create(&(struct tl_reward_lens_params){.vae = s->model.pipeline->vae,
                                                                    .rewards = s->reward,
                                                                    .batch = batch_of(&s->model),
                                                                    .height = s->model.h,
                                                                    .width = s->model.w,
                                                                    .gradient = s->n_guided > 0},
                                    err);
    return s->lens != NULL;
}
