/* What a picture says about itself: the texts of its PNG, its row of metadata.jsonl. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/version.h>

#include "io/file.h"
#include "io/json.h"
#include "run/listing.h"
#include "run/sample_parts.h"

static const struct tl_prompt *prompt_of(const struct tl_sample_settings *s, size_t i)
{
    return &s->inputs->prompts[i / (size_t)s->params->n];
}

static uint64_t number_of(const struct tl_sample_settings *s, size_t i)
{
    return (uint64_t)s->params->first + i;
}

static bool add_copy(cJSON *object, const char *key, const cJSON *value)
{
    cJSON *copy = cJSON_Duplicate(value, true);
    if (copy && cJSON_AddItemToObject(object, key, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

/* A pipeline's name: its folder's. */
static void model_name(const char *folder, struct tl_str *out)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    size_t at = n;
    while (at > 0 && folder[at - 1] != '/') at--;
    tl_str_append_n(out, folder + at, n - at);
}

/* A value in A1111's line: quoted as JSON where it holds what separates values. */
static void add_value(struct tl_str *out, const char *key, const char *value)
{
    tl_str_printf(out, ", %s: ", key);
    if (strpbrk(value, ",:\n\""))
        tl_json_quote(out, value);
    else
        tl_str_append(out, value);
}

const char *const tl_sigmas_choices[] = {
    [TL_SIGMAS_OWN] = "own", [TL_SIGMAS_PLAIN] = "plain", [TL_SIGMAS_KARRAS] = "karras", NULL};

void tl_sample_say_sampler(const struct tl_sample_settings *s, cJSON *out)
{
    char eta[32] = "";
    if (tl_sampler_find(s->sampler)->takes_eta) snprintf(eta, sizeof eta, ", eta %g", s->params->eta);
    tl_listing_format(out, "sampler", "%s%s, %d steps%s, guidance %g", s->sampler,
                      s->karras ? ", karras sigmas" : "", s->params->steps, eta, s->params->guidance);
}

/* What A1111 and its readers expect under "parameters". */
static void a1111(const struct tl_sample_settings *s, size_t i, const char *more, struct tl_str *out)
{
    const struct tl_sample_params *p = s->params;
    struct tl_str text = {0};
    tl_str_append(out, prompt_of(s, i)->text);
    if (p->negative_prompt && *p->negative_prompt)
        tl_str_printf(out, "\nNegative prompt: %s", p->negative_prompt);
    const struct tl_sampler *sampler = tl_sampler_find(s->sampler);
    char name[64];
    snprintf(name, sizeof name, "%s%s", sampler->title, s->karras ? " Karras" : "");
    tl_str_printf(out, "\nSteps: %d, Sampler: %s, CFG scale: %g, Seed: %" PRIu64 ", Size: %dx%d", p->steps,
                  name, p->guidance, s->seed, s->width, s->height);
    model_name(p->model, &text);
    add_value(out, "Model", text.data ? text.data : "");
    if (sampler->takes_eta) tl_str_printf(out, ", Eta: %g", p->eta);
    tl_str_printf(out, ", Picture: %" PRIu64, number_of(s, i));
    for (size_t k = 0; k < s->inputs->n_loras; k++) {
        char key[32];
        snprintf(key, sizeof key, "Lora %zu", k + 1);
        tl_str_clear(&text);
        tl_str_printf(&text, "%s@%g", tl_path_base(s->inputs->loras[k].path), s->inputs->loras[k].scale);
        add_value(out, key, text.data ? text.data : "");
    }
    if (more) tl_str_printf(out, ", %s", more);
    tl_str_printf(out, ", Version: tiller %s", TL_VERSION);
    if (text.failed) out->failed = true;
    tl_str_finish(&text);
}

/* JSON numbers are exact up to 2^53 only. */
static bool add_seed(cJSON *object, uint64_t seed)
{
    char text[24];
    if (seed <= UINT64_C(1) << 53) return cJSON_AddNumberToObject(object, "seed", (double)seed) != NULL;
    snprintf(text, sizeof text, "%" PRIu64, seed);
    return cJSON_AddStringToObject(object, "seed", text) != NULL;
}

/* Ours, under "tiller": everything that the picture depends on. */
static char *own_json(const struct tl_sample_settings *s, size_t i, const char *key, const cJSON *more,
                      struct tl_err *err)
{
    const struct tl_sample_params *p = s->params;
    cJSON *o = cJSON_CreateObject();
    bool ok =
        o && cJSON_AddStringToObject(o, "version", TL_VERSION) &&
        (!s->command || cJSON_AddStringToObject(o, "command", s->command)) &&
        cJSON_AddStringToObject(o, "prompt", prompt_of(s, i)->text) &&
        (!p->negative_prompt || cJSON_AddStringToObject(o, "negative_prompt", p->negative_prompt)) &&
        add_seed(o, s->seed) && cJSON_AddNumberToObject(o, "number", (double)number_of(s, i)) &&
        cJSON_AddStringToObject(o, "model", p->model) && cJSON_AddStringToObject(o, "sampler", s->sampler) &&
        (!s->karras || cJSON_AddStringToObject(o, "sigmas", "karras")) &&
        cJSON_AddNumberToObject(o, "steps", p->steps) &&
        (!tl_sampler_find(s->sampler)->takes_eta || cJSON_AddNumberToObject(o, "eta", p->eta)) &&
        cJSON_AddNumberToObject(o, "guidance", p->guidance) &&
        cJSON_AddNumberToObject(o, "width", s->width) && cJSON_AddNumberToObject(o, "height", s->height) &&
        (!p->init_latents || cJSON_AddStringToObject(o, "init_latents", p->init_latents));
    cJSON *loras = ok ? cJSON_AddArrayToObject(o, "lora") : NULL;
    ok = loras != NULL;
    for (size_t k = 0; ok && k < s->inputs->n_loras; k++) {
        cJSON *row = cJSON_CreateObject();
        ok = row && cJSON_AddStringToObject(row, "file", s->inputs->loras[k].path) &&
             cJSON_AddNumberToObject(row, "scale", s->inputs->loras[k].scale);
        if (!ok || !cJSON_AddItemToArray(loras, row)) {
            cJSON_Delete(row);
            ok = false;
        }
    }
    ok = ok && (!more || add_copy(o, key, more));
    char *text = ok ? tl_json_print(o, false, err) : NULL;
    cJSON_Delete(o);
    if (!text) tl_err_set(err, TL_FAIL, "out of memory");
    return text;
}

bool tl_sample_texts_make(const struct tl_sample_settings *s, size_t i, const struct tl_sample_more *more,
                          struct tl_sample_texts *out, struct tl_err *err)
{
    *out = (struct tl_sample_texts){0};
    a1111(s, i, more ? more->parameters : NULL, &out->parameters);
    out->own = own_json(s, i, more ? more->key : NULL, more ? more->json : NULL, err);
    out->texts[0] = (struct tl_png_text){"parameters", out->parameters.data};
    out->texts[1] = (struct tl_png_text){"tiller", out->own};
    return out->own && (!out->parameters.failed || tl_err_set(err, TL_FAIL, "out of memory"));
}

void tl_sample_texts_finish(struct tl_sample_texts *texts)
{
    tl_str_finish(&texts->parameters);
    free(texts->own);
    *texts = (struct tl_sample_texts){0};
}

void tl_sample_file_name(const struct tl_sample_settings *s, size_t i, char out[32])
{
    snprintf(out, 32, "%05" PRIu64 ".png", number_of(s, i));
}

/* Members of `from` that are not in `row` yet. */
static bool add_members(cJSON *row, const cJSON *from)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, from)
    {
        if (!cJSON_GetObjectItem(row, item->string) && !add_copy(row, item->string, item)) return false;
    }
    return true;
}

/* What we know, what `more` has, then what the prompt's own row had. */
static bool fill_row(const struct tl_sample_settings *s, size_t i, const cJSON *more, cJSON *row,
                     struct tl_err *err)
{
    static const char *const same[] = {"text", "caption"}; /* are the prompt */
    const struct tl_prompt *prompt = prompt_of(s, i);
    char name[32];
    tl_sample_file_name(s, i, name);
    bool ok = row && cJSON_AddStringToObject(row, "file_name", name) &&
              cJSON_AddStringToObject(row, "prompt", prompt->text) && add_seed(row, s->seed) &&
              cJSON_AddNumberToObject(row, "number", (double)number_of(s, i)) && add_members(row, more);
    cJSON *given =
        ok && prompt->json ? tl_json_parse(prompt->json, strlen(prompt->json), "prompts", err) : NULL;
    for (size_t k = 0; given && k < sizeof same / sizeof *same; k++)
        cJSON_DeleteItemFromObjectCaseSensitive(given, same[k]);
    ok = ok && (!prompt->json || given) && add_members(row, given);
    cJSON_Delete(given);
    return ok;
}

bool tl_sample_add_row(const struct tl_sample_settings *s, size_t i, const cJSON *more, struct tl_str *out,
                       struct tl_err *err)
{
    cJSON *row = cJSON_CreateObject();
    char *text = fill_row(s, i, more, row, err) ? tl_json_print(row, false, err) : NULL;
    if (text) tl_str_printf(out, "%s\n", text);
    free(text);
    cJSON_Delete(row);
    return (text && !out->failed) || tl_err_set(err, TL_FAIL, "out of memory");
}
