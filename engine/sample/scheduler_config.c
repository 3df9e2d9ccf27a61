#include "sample/scheduler_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tiller/log.h>

#include "io/json.h"

/* What diffusers fills in where a config is silent; these differ by class. The last row serves every other
 * name. */
static const struct class_defaults {
    const char *name, *sampler;
    bool clip_sample, set_alpha_to_one;
    const char *spacing;
    double beta_start, beta_end;
    const char *beta_schedule;
} classes[] = {
    {"DDIMScheduler", "ddim", true, true, "leading", 1e-4, 0.02, "linear"},
    {"DDPMScheduler", "ddpm", true, true, "leading", 1e-4, 0.02, "linear"},
    {"PNDMScheduler", NULL, false, false, "leading", 1e-4, 0.02, "linear"},
    {"LCMScheduler", NULL, false, true, "leading", 0.00085, 0.012, "scaled_linear"},
    {"EulerDiscreteScheduler", "euler", false, true, "linspace", 1e-4, 0.02, "linear"},
    {"EulerAncestralDiscreteScheduler", "euler_a", false, true, "linspace", 1e-4, 0.02, "linear"},
    {"DPMSolverMultistepScheduler", "dpmpp2m", false, true, "linspace", 1e-4, 0.02, "linear"},
    {"UniPCMultistepScheduler", NULL, false, true, "linspace", 1e-4, 0.02, "linear"},
    {NULL, NULL, false, true, "leading", 1e-4, 0.02, "linear"},
};

static const struct class_defaults *defaults_of(const char *name)
{
    const struct class_defaults *c = classes;
    while (c->name && strcmp(c->name, name) != 0) c++;
    return c;
}

typedef const char *(*name_fn)(int i);

static const char *beta_name(int i)
{
    return tl_beta_schedule_name((enum tl_beta_schedule)i);
}

static const char *prediction_name(int i)
{
    return tl_prediction_name((enum tl_prediction)i);
}

static const char *spacing_name(int i)
{
    return tl_spacing_name((enum tl_spacing)i);
}

static const char *variance_name(int i)
{
    return tl_variance_name((enum tl_variance)i);
}

/* A string field that must be one of the names of an enum. */
static bool read_enum(const cJSON *json, const char *key, const char *fallback, name_fn name, int *out,
                      struct tl_err *err)
{
    const char *text;
    if (!tl_json_string(json, key, fallback, &text, err)) return false;
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; name(i); i++) {
        if (strcmp(name(i), text) == 0) {
            *out = i;
            return true;
        }
        int wrote = snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", name(i));
        if (wrote > 0 && (size_t)wrote < sizeof known - used) used += (size_t)wrote;
    }
    return tl_err_set(err, TL_BAD_INPUT, "%s %s is not supported: %s", key, text, known);
}

static bool read_enums(const cJSON *json, const struct class_defaults *d, struct tl_scheduler_config *out,
                       struct tl_err *err)
{
    int beta = 0, prediction, spacing, variance;
    bool given = out->beta.trained_betas != NULL; /* then beta_schedule is not used */
    if ((!given && !read_enum(json, "beta_schedule", d->beta_schedule, beta_name, &beta, err)) ||
        !read_enum(json, "prediction_type", "epsilon", prediction_name, &prediction, err) ||
        !read_enum(json, "timestep_spacing", d->spacing, spacing_name, &spacing, err) ||
        !read_enum(json, "variance_type", "fixed_small", variance_name, &variance, err))
        return false;
    out->beta.schedule = (enum tl_beta_schedule)beta;
    out->prediction = (enum tl_prediction)prediction;
    out->spacing = (enum tl_spacing)spacing;
    out->spacing_unsaid = !tl_json_get(json, "timestep_spacing");
    out->variance = (enum tl_variance)variance;
    return true;
}

static bool read_trained_betas(const cJSON *json, struct tl_arena *arena, struct tl_beta_params *beta,
                               struct tl_err *err)
{
    const cJSON *list = tl_json_get(json, "trained_betas");
    if (!list) return true;
    if (!cJSON_IsArray(list)) return tl_err_set(err, TL_BAD_INPUT, "trained_betas is not a list of numbers");
    size_t n = 0, i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) n++;
    if (n != beta->n)
        return tl_err_set(err, TL_BAD_INPUT, "trained_betas has %zu numbers, num_train_timesteps is %zu", n,
                          beta->n);
    double *betas = tl_arena_alloc(arena, n, sizeof *betas);
    if (!betas) return tl_err_set(err, TL_FAIL, "no memory for %zu betas", n);
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsNumber(item))
            return tl_err_set(err, TL_BAD_INPUT, "trained_betas[%zu] is not a number", i);
        betas[i++] = item->valuedouble;
    }
    beta->trained_betas = betas;
    return true;
}

static bool read_numbers(const cJSON *json, const struct class_defaults *d, struct tl_scheduler_config *out,
                         struct tl_err *err)
{
    int64_t n, offset;
    if (!tl_json_int(json, "num_train_timesteps", 1000, &n, err) ||
        !tl_json_int(json, "steps_offset", 0, &offset, err) ||
        !tl_json_double(json, "beta_start", d->beta_start, &out->beta.beta_start, err) ||
        !tl_json_double(json, "beta_end", d->beta_end, &out->beta.beta_end, err) ||
        !tl_json_bool(json, "rescale_betas_zero_snr", false, &out->beta.rescale_zero_snr, err) ||
        !tl_json_bool(json, "set_alpha_to_one", d->set_alpha_to_one, &out->set_alpha_to_one, err) ||
        !tl_json_bool(json, "clip_sample", d->clip_sample, &out->clip_sample, err) ||
        !tl_json_double(json, "clip_sample_range", 1, &out->clip_sample_range, err))
        return false;
    if (n < 1 || n > 1000000)
        return tl_err_set(err, TL_BAD_INPUT, "num_train_timesteps is %lld, expected 1 to 1000000",
                          (long long)n);
    if (offset < 0 || offset >= n)
        return tl_err_set(err, TL_BAD_INPUT, "steps_offset is %lld, expected 0 to %lld", (long long)offset,
                          (long long)n - 1);
    out->beta.n = (size_t)n;
    out->steps_offset = (int)offset;
    return true;
}

/* Fields of the Euler and DPM-Solver classes. What they would change that is not supported is written into
 * unlike [n]: such a scheduler is not what its class's sampler here would be. */
static bool read_sigmas(const cJSON *json, struct tl_scheduler_config *out, char *unlike, size_t n,
                        struct tl_err *err)
{
    static const struct {
        const char *key, *known[3]; /* NULL: no such value is known */
    } texts[] = {
        {"algorithm_type", {"dpmsolver++", "sde-dpmsolver++"}},
        {"solver_type", {"midpoint"}},
        {"interpolation_type", {"linear"}},
        {"timestep_type", {"discrete"}},
        {"final_sigmas_type", {"zero", "sigma_min"}},
    };
    static const char *const flags[] = {"use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
                                        "use_flow_sigmas"};
    static const char *const numbers[] = {"sigma_min", "sigma_max"};
    int64_t order;
    unlike[0] = 0;
    if (!tl_json_bool(json, "use_karras_sigmas", false, &out->karras, err) ||
        !tl_json_bool(json, "lower_order_final", true, &out->lower_order_final, err) ||
        !tl_json_bool(json, "euler_at_final", false, &out->euler_at_final, err) ||
        !tl_json_int(json, "solver_order", 2, &order, err) ||
        !tl_json_double(json, "lambda_min_clipped", -INFINITY, &out->lambda_min_clipped, err))
        return false;
    out->solver_order = order == 1 ? 1 : 2;
    if (order < 1 || order > 2) snprintf(unlike, n, "solver_order %lld", (long long)order);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text;
        bool known = false;
        if (!tl_json_string(json, texts[i].key, texts[i].known[0], &text, err)) return false;
        for (size_t k = 0; k < 3 && texts[i].known[k]; k++) known |= strcmp(text, texts[i].known[k]) == 0;
        if (!known) snprintf(unlike, n, "%s %.40s", texts[i].key, text);
        if (strcmp(text, "sigma_min") == 0) out->final_sigma_min = true;
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool on;
        if (!tl_json_bool(json, flags[i], false, &on, err)) return false;
        if (on) snprintf(unlike, n, "%s", flags[i]);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (tl_json_get(json, numbers[i])) snprintf(unlike, n, "%s", numbers[i]);
    return true;
}

/* The class's sampler; DDIM, with a warning, where there is none or the config asks more of it. */
static bool choose_sampler(const cJSON *json, const struct class_defaults *d, struct tl_scheduler_config *out,
                           struct tl_err *err)
{
    char unlike[96];
    const char *algorithm;
    if (!read_sigmas(json, out, unlike, sizeof unlike, err) ||
        !tl_json_string(json, "algorithm_type", "", &algorithm, err))
        return false;
    out->sampler = d->sampler;
    if (d->sampler && strcmp(d->sampler, "dpmpp2m") == 0 && strcmp(algorithm, "sde-dpmsolver++") == 0)
        out->sampler = "dpmpp2m_sde";
    bool sigmas = d->sampler && tl_sampler_find(d->sampler)->family != TL_FAMILY_ALPHA;
    if (d->sampler && !(sigmas && unlike[0])) return true;
    out->sampler = "ddim";
    tl_log(TL_LOG_WARN,
           "scheduler %s%s%s is sampled by DDIM with its fields: pictures will differ from that sampler's",
           out->class_name, sigmas ? " with " : "", sigmas ? unlike : "");
    return true;
}

bool tl_scheduler_config_from_json(const struct cJSON *json, struct tl_arena *arena,
                                   struct tl_scheduler_config *out, struct tl_err *err)
{
    if (!cJSON_IsObject(json))
        return tl_err_set(err, TL_BAD_INPUT, "a scheduler's config is not a JSON object");
    *out = (struct tl_scheduler_config){0};
    const char *name;
    bool thresholding;
    if (!tl_json_string(json, "_class_name", "DDIMScheduler", &name, err) ||
        !tl_json_bool(json, "thresholding", false, &thresholding, err))
        return false;
    if (strstr(name, "FlowMatch"))
        return tl_err_set(err, TL_BAD_INPUT,
                          "scheduler %s is a flow, not a diffusion: flow models are not supported", name);
    if (thresholding)
        return tl_err_set(
            err, TL_BAD_INPUT,
            "thresholding true is not supported: it is not linear in the sample; set it to false");
    if (!tl_json_get(json, "beta_start") && !tl_json_get(json, "beta_schedule") &&
        !tl_json_get(json, "trained_betas") && !defaults_of(name)->name)
        return tl_err_set(err, TL_BAD_INPUT, "scheduler %s is not known and its config has no betas", name);
    const struct class_defaults *d = defaults_of(name);
    snprintf(out->class_name, sizeof out->class_name, "%s", name);
    if (!read_numbers(json, d, out, err) || !read_trained_betas(json, arena, &out->beta, err) ||
        !read_enums(json, d, out, err))
        return false;
    return choose_sampler(json, d, out, err);
}

bool tl_scheduler_read(struct tl_scheduler *s, const char *path, struct tl_err *err)
{
    *s = (struct tl_scheduler){0};
    struct tl_scheduler_config config;
    struct tl_arena arena = {0};
    cJSON *json = tl_json_read_python(path, err); /* its messages name the file */
    if (!json) return false;
    bool ok = tl_scheduler_config_from_json(json, &arena, &config, err) && tl_scheduler_init(s, &config, err);
    if (!ok) tl_err_add(err, "%s", path);
    tl_arena_finish(&arena);
    cJSON_Delete(json);
    return ok;
}
