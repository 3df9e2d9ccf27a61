#include <tiller/forward.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/file.h"
#include "models/forward.h"
#include "run/listing.h"
#include "tensor/device.h"

struct forward {
    const struct tl_forward_params *params;
    struct tl_arena arena;
    const char **wrt;
    int n_wrt;
    struct tl_st_file *input, *cotangent;
    struct tl_device *device;
    struct tl_component *component;
    struct tl_forward_result result;
    double seconds;
};

static bool split_wrt(struct forward *f, struct tl_err *err)
{
    const struct tl_forward_params *p = f->params;
    if (!p->cotangent && !p->wrt) return true;
    if (!p->cotangent) return tl_err_set(err, TL_USAGE, "--wrt needs --cotangent FILE");
    if (!p->wrt)
        return tl_err_set(err, TL_USAGE, "--cotangent needs --wrt NAME,NAME: what to differentiate by");
    char *names = tl_arena_strdup(&f->arena, p->wrt);
    f->wrt = tl_arena_alloc(&f->arena, strlen(p->wrt) + 1, sizeof *f->wrt);
    if (!names || !f->wrt) return tl_err_set(err, TL_FAIL, "out of memory");
    for (char *save = NULL, *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        for (int i = 0; i < f->n_wrt; i++)
            if (strcmp(f->wrt[i], name) == 0) return tl_err_set(err, TL_USAGE, "--wrt names %s twice", name);
        f->wrt[f->n_wrt++] = name;
    }
    return f->n_wrt > 0 || tl_err_set(err, TL_USAGE, "--wrt is empty");
}

/* Everything that can be refused before the work is refused before the work. */
static bool check_output(struct forward *f, struct tl_err *err)
{
    const char *path = f->params->output, *folder = tl_path_folder_in(&f->arena, path);
    if (!folder) return tl_err_set(err, TL_FAIL, "out of memory");
    if (!*path) return tl_err_set(err, TL_USAGE, "the output's name is empty");
    if (tl_file_is_folder(path)) return tl_err_set(err, TL_OUTPUT, "%s is a folder, the output a file", path);
    return tl_file_is_folder(folder) || tl_err_set(err, TL_OUTPUT, "%s: there is no folder %s", path, folder);
}

static bool run(struct forward *f, const struct tl_job *job, struct tl_err *err)
{
    const struct tl_forward_params *p = f->params;
    if (!split_wrt(f, err) || !check_output(f, err)) return false;
    f->input = tl_st_open(p->input, err);
    if (!f->input) return false;
    f->cotangent = p->cotangent ? tl_st_open(p->cotangent, err) : NULL;
    if (p->cotangent && !f->cotangent) return false;
    f->device = tl_device_open(&(struct tl_device_params){.name = job->device, .threads = job->threads}, err);
    if (!f->device) return false;
    f->component = tl_component_open_as(f->device, p->folder, (enum tl_dtype)p->dtype, err);
    if (!f->component) return false;
    struct tl_forward_call call = {.component = f->component,
                                   .method = p->method,
                                   .input = f->input,
                                   .cotangent = f->cotangent,
                                   .cotangent_prefix = "",
                                   .wrt = f->wrt,
                                   .n_wrt = f->n_wrt};
    double start = tl_clock_s();
    if (!tl_forward(&call, &f->result, err)) return tl_err_add(err, "%s", p->folder);
    f->seconds = tl_clock_s() - start;
    return tl_st_write(p->output, f->result.items, (size_t)f->result.n_items, NULL, err);
}

static cJSON *report(const struct forward *f)
{
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "output", f->params->output);
    tl_listing_text(out, "class", f->component->cls->name);
    tl_listing_format(out, "device", "%s (%s)", f->device->name, f->device->description);
    tl_listing_number(out, "seconds", f->seconds);
    tl_listing_count(out, "arena_bytes", f->result.arena_bytes);
    cJSON *rows = tl_listing_array(out, "tensors");
    for (int i = 0; i < f->result.n_items; i++) {
        const struct tl_st_item *item = &f->result.items[i];
        cJSON *row = tl_listing_row(rows), *shape;
        tl_listing_text(row, "name", item->name);
        shape = tl_listing_array(row, "shape");
        for (unsigned k = 0; k < item->rank; k++) {
            cJSON *n = cJSON_CreateNumber((double)item->shape[k]);
            if (n && !(shape && cJSON_AddItemToArray(shape, n))) cJSON_Delete(n);
        }
    }
    return out;
}

char *tl_forward_file(const struct tl_forward_params *params, const struct tl_job *job, struct tl_err *err)
{
    struct forward f = {.params = params};
    char *text =
        run(&f, job, err) ? tl_listing_print(report(&f), "tiller.forward/1", params->json, err) : NULL;
    tl_forward_result_finish(&f.result);
    tl_component_close(&f.component);
    tl_device_close(&f.device);
    tl_st_close(&f.cotangent);
    tl_st_close(&f.input);
    tl_arena_finish(&f.arena);
    return text;
}
