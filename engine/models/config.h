/* Reading component configs: typed fields with limits, lists that a scalar stands for, values that must be
 * what we support. */
#ifndef TL_MODELS_CONFIG_H
#define TL_MODELS_CONFIG_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include <tiller/err.h>

bool tl_config_int(const cJSON *json, const char *key, int fallback, int min, int max, int *out,
                   struct tl_err *err);

/* n positive numbers from a list of n; or, where scalar_ok, one number (or a list of one) repeated. Absent:
 * the fallback, repeated where it is one. */
bool tl_config_ints(const cJSON *json, const char *key, const int *fallback, int n_fallback, int n,
                    bool scalar_ok, int *out, struct tl_err *err);

/* The same for numbers of layers, at most 64 each: graphs are built of them before weights are looked for. */
bool tl_config_layers(const cJSON *json, const char *key, const int *fallback, int n_fallback, int n,
                      bool scalar_ok, int *out, struct tl_err *err);

/* A number or a pair [height, width]; absent: zeros. */
bool tl_config_size(const cJSON *json, const char *key, int out[2], struct tl_err *err);

/* The string must be `value` or absent. */
bool tl_config_expect(const cJSON *json, const char *key, const char *value, struct tl_err *err);

/* The name of a known activation; "" where absent and the fallback is "". */
bool tl_config_activation(const cJSON *json, const char *key, const char *fallback, char out[32],
                          struct tl_err *err);

#endif
