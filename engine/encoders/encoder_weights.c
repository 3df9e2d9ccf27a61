#include "encoders/encoder_weights.h"

#include <math.h>

#include "base/sha256.h"

bool tl_encoder_weights_hash(const char *folder, const char *class_name, char out[65], struct tl_err *err)
{
    struct tl_sha256 all;
    struct tl_st_set *set = tl_st_set_open(folder, tl_component_class_find(class_name)->weights, NULL, err);
    bool ok = set != NULL;
    tl_sha256_init(&all);
    for (size_t i = 0; ok && i < tl_st_set_files(set); i++) {
        ok = tl_sha256_file(tl_st_set_path(set, i), out, err);
        if (ok) tl_sha256_add(&all, out, 64);
    }
    if (ok && tl_st_set_files(set) > 1) tl_sha256_hex(&all, out);
    tl_st_set_close(&set);
    return ok;
}

bool tl_encoder_weights_scale(const struct tl_component *component, const char *name, double *out,
                              struct tl_err *err)
{
    struct tl_st_set *set = tl_st_set_open(component->folder, component->cls->weights, NULL, err);
    const struct tl_st_tensor *tensor = set ? tl_st_set_find(set, name) : NULL;
    float log_scale = 0;
    bool ok = set && ((tensor && tensor->n == 1) ||
                      tl_err_set(err, TL_BAD_INPUT, "%s is missing or no single number", name));
    ok = ok && tl_st_to_f32(tensor, &log_scale, err);
    *out = exp((double)log_scale);
    tl_st_set_close(&set);
    return ok;
}
