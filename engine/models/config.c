#include "models/config.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "nn/nn.h"

bool tl_config_int(const cJSON *json, const char *key, int fallback, int min, int max, int *out,
                   struct tl_err *err)
{
    int64_t v;
    if (!tl_json_int(json, key, fallback, &v, err)) return false;
    if (v < min || v > max)
        return tl_err_set(err, TL_BAD_INPUT, "%s is %lld; %d to %d are possible", key, (long long)v, min,
                          max);
    *out = (int)v;
    return true;
}

bool tl_config_ints(const cJSON *json, const char *key, const int *fallback, int n_fallback, int n,
                    bool scalar_ok, int *out, struct tl_err *err)
{
    enum { MOST = 64, LIMIT = 1 << 20 };
    int64_t v[MOST];
    size_t count = 0;
    const cJSON *item = tl_json_get(json, key);
    if (!item) {
        if (n_fallback != 1 && n_fallback != n)
            return tl_err_set(err, TL_BAD_INPUT, "%s is missing and its default has %d values for %d blocks",
                              key, n_fallback, n);
        for (int i = 0; i < n; i++) out[i] = fallback[n_fallback == 1 ? 0 : i];
        return true;
    }
    if (cJSON_IsNumber(item)) {
        if (!tl_json_int(json, key, 0, &v[0], err)) return false;
        count = 1;
    } else if (!tl_json_ints(json, key, v, MOST, &count, err)) {
        return false;
    }
    if ((int)count != n && !(scalar_ok && count == 1))
        return tl_err_set(err, TL_BAD_INPUT, "%s has %zu values for %d blocks", key, count, n);
    for (int i = 0; i < n; i++) {
        int64_t x = v[count == 1 ? 0 : i];
        if (x < 1 || x > LIMIT)
            return tl_err_set(err, TL_BAD_INPUT, "%s: %lld is not possible", key, (long long)x);
        out[i] = (int)x;
    }
    return true;
}

bool tl_config_layers(const cJSON *json, const char *key, const int *fallback, int n_fallback, int n,
                      bool scalar_ok, int *out, struct tl_err *err)
{
    enum { MOST = 64 };
    if (!tl_config_ints(json, key, fallback, n_fallback, n, scalar_ok, out, err)) return false;
    for (int i = 0; i < n; i++) {
        if (out[i] > MOST)
            return tl_err_set(err, TL_BAD_INPUT, "%s: %d layers in a block; 1 to %d are possible", key,
                              out[i], MOST);
    }
    return true;
}

bool tl_config_size(const cJSON *json, const char *key, int out[2], struct tl_err *err)
{
    out[0] = out[1] = 0;
    if (!tl_json_get(json, key)) return true;
    return tl_config_ints(json, key, (const int[]){0}, 1, 2, true, out, err);
}

bool tl_config_expect(const cJSON *json, const char *key, const char *value, struct tl_err *err)
{
    const char *text;
    if (!tl_json_string(json, key, value, &text, err)) return false;
    return strcmp(text, value) == 0 ||
           tl_err_set(err, TL_BAD_INPUT, "%s '%s' is not supported; it must be %s", key, text, value);
}

bool tl_config_activation(const cJSON *json, const char *key, const char *fallback, char out[32],
                          struct tl_err *err)
{
    const char *text;
    if (!tl_json_string(json, key, fallback, &text, err)) return false;
    if (*text && !tl_nn_activation_known(text))
        return tl_err_set(err, TL_BAD_INPUT, "%s '%s' is not supported", key, text);
    snprintf(out, 32, "%s", text);
    return true;
}
