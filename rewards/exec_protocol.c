#include "rewards/exec_protocol.h"

#include <math.h>
#include <string.h>

#include "io/json.h"
#include "io/utf8.h"
#include "rewards/exec_log.h"
#include "rewards/exec_media.h"

/* ---- what all messages have in common ---- */

static bool faulty(struct tl_err *err, const struct tl_err *why)
{
    return tl_err_set(err, TL_PLUGIN, "%s", why->text);
}

/* NULL where the line is no object. */
static cJSON *parse(const char *line, size_t n, struct tl_err *err)
{
    struct tl_err why = {0};
    char shown[100];
    cJSON *message = tl_json_parse(line, n, "the line", &why);
    if (message && cJSON_IsObject(message)) return message;
    cJSON_Delete(message);
    bool is_nan = why.code && (strstr(line, "NaN") || strstr(line, "Infinity"));
    tl_exec_log_copy(shown, sizeof shown, line, n);
    tl_err_set(err, TL_PLUGIN, "wrote to standard output what is no message%s: '%s'%s%s%s",
               is_nan ? ", for scores must be finite" : "", shown, why.code ? " (" : "", why.text,
               why.code ? ")" : "");
    return NULL;
}

/* Members that are there must be of the right type. */
static bool flag(const cJSON *message, const char *key, bool *out, struct tl_err *err)
{
    struct tl_err why = {0};
    return tl_json_bool(message, key, false, out, &why) || faulty(err, &why);
}

/* Whether a list of words has this one; without a list, whether it is the usual one. */
static bool lists(const cJSON *message, const char *key, const char *word, bool usual)
{
    const cJSON *list = tl_json_get(message, key), *item;
    if (!list) return usual;
    cJSON_ArrayForEach(item,
                       list) if (cJSON_IsString(item) && strcmp(item->valuestring, word) == 0) return true;
    return cJSON_IsString(list) && strcmp(list->valuestring, word) == 0;
}

/* ---- the handshake ---- */

void tl_exec_hello(struct tl_str *out)
{
    tl_str_printf(out, "{\"hello\":\"rewardproc\",\"versions\":[%d],\"caps\":[\"file\"]}\n", TL_EXEC_VERSION);
}

static bool read_range(const cJSON *message, struct tl_exec_about *out, struct tl_err *err)
{
    const cJSON *range = tl_json_get(message, "range");
    double *const ends[] = {&out->low, &out->high};
    out->low = -INFINITY;
    out->high = INFINITY;
    if (!range) return true;
    bool ok = cJSON_IsArray(range) && cJSON_GetArraySize(range) == 2;
    for (int i = 0; ok && i < 2; i++) {
        const cJSON *end = cJSON_GetArrayItem(range, i);
        ok = cJSON_IsNumber(end) || cJSON_IsNull(end);
        if (ok && cJSON_IsNumber(end)) *ends[i] = end->valuedouble;
    }
    return (ok && out->low <= out->high) ||
           tl_err_set(err, TL_PLUGIN, "says a range that is not [low, high], null for none");
}

static bool read_batch(const cJSON *message, struct tl_exec_about *out, struct tl_err *err)
{
    struct tl_err why = {0};
    int64_t most;
    if (!tl_json_int(message, "max_batch", TL_EXEC_USUAL_BATCH, &most, &why)) return faulty(err, &why);
    if (most < 1) return tl_err_set(err, TL_PLUGIN, "says max_batch %lld", (long long)most);
    out->max_batch = most < TL_EXEC_MOST_BATCH ? (size_t)most : TL_EXEC_MOST_BATCH;
    return true;
}

static bool read_identity(const cJSON *message, struct tl_exec_about *out, struct tl_err *err)
{
    struct tl_err why = {0};
    const char *name, *text;
    int64_t version;
    if (tl_json_get(message, "error")) {
        if (!tl_json_string(message, "error", "", &text, NULL)) text = "no reason given";
        return tl_err_set(err, TL_PLUGIN, "refuses to work: %.300s", text);
    }
    if (!tl_json_int(message, "version", -1, &version, &why) ||
        !tl_json_string(message, "name", NULL, &name, &why))
        return faulty(err, &why);
    if (version != TL_EXEC_VERSION)
        return tl_err_set(err, TL_PLUGIN,
                          version < 0 ? "answers the handshake without a \"version\""
                                      : "speaks version %lld of the protocol, and we speak %d",
                          (long long)version, TL_EXEC_VERSION);
    if (!name || !*name) return tl_err_set(err, TL_PLUGIN, "answers the handshake without a \"name\"");
    size_t n = strlen(name);
    if (n >= sizeof out->name) n = sizeof out->name - 1;
    memcpy(out->name, name, tl_utf8_prefix(name, n));
    return true;
}

bool tl_exec_read_welcome(const char *line, size_t n, struct tl_exec_about *out, struct tl_err *err)
{
    cJSON *message = parse(line, n, err);
    *out = (struct tl_exec_about){0};
    if (!message) return false;
    bool ok = read_identity(message, out, err) && read_range(message, out, err) &&
              read_batch(message, out, err) && flag(message, "deterministic", &out->deterministic, err) &&
              flag(message, "needs_prompt", &out->needs_prompt, err);
    out->image = lists(message, "modalities", "image", true);
    out->audio = lists(message, "modalities", "audio", false);
    out->score = lists(message, "kinds", "score", true);
    out->score_set = lists(message, "kinds", "score_set", false);
    if (ok && !out->image && !out->audio)
        ok = tl_err_set(err, TL_PLUGIN, "takes none of \"image\" and \"audio\" (its \"modalities\")");
    if (ok && !lists(message, "transport", "file", true))
        ok = tl_err_set(err, TL_PLUGIN, "takes no files (its \"transport\")");
    cJSON_Delete(message);
    return ok;
}

/* ---- requests ---- */

size_t tl_exec_item_bytes(const char *folder, const struct tl_reward_item *item)
{
    enum { REST = 320 };
    size_t n = REST + 6 * strlen(folder);
    for (const char *p = item->prompt; p && *p; p++) n += (unsigned char)*p >= 0x20 && *p != 0x7f ? 1 : 6;
    for (const char *p = item->prompt; p && *p; p++)
        n += *p == '"' || *p == '\\' ? 1 : (unsigned char)*p >= 0x80 ? 3 : 0; /* quoted; \xNN at worst */
    return n;
}

static void add_item(struct tl_str *out, size_t i, int64_t batch, const char *folder,
                     const struct tl_reward_item *item)
{
    char name[48];
    struct tl_str path = {0};
    tl_exec_media_name(batch, i, item, name);
    tl_str_printf(&path, "%s/%s", folder, name);
    if (path.failed) out->failed = true;
    tl_str_printf(out, "%s{\"i\":%zu,\"path\":", i ? "," : "", i);
    tl_json_quote(out, path.data ? path.data : "");
    tl_str_finish(&path);
    if (item->samples)
        tl_str_printf(out, ",\"modality\":\"audio\",\"rate\":%d,\"channels\":%d,\"frames\":%zu", item->rate,
                      item->channels, item->frames);
    else
        tl_str_printf(out, ",\"modality\":\"image\",\"width\":%d,\"height\":%d", item->width, item->height);
    if (item->prompt) {
        tl_str_append(out, ",\"prompt\":");
        tl_json_quote(out, item->prompt);
    }
    tl_str_append(out, "}");
}

void tl_exec_request(struct tl_str *out, int64_t id, const char *kind, const char *folder,
                     const struct tl_reward_item *items, size_t n)
{
    tl_str_printf(out, "{\"id\":%lld,\"kind\":\"%s\",\"items\":[", (long long)id, kind);
    for (size_t i = 0; i < n; i++) add_item(out, i, id, folder, &items[i]);
    tl_str_append(out, "]}\n");
}

/* ---- replies ---- */

static bool read_refusal(const cJSON *error, size_t n, struct tl_exec_reply *out, struct tl_err *err)
{
    struct tl_err why = {0};
    const char *text = cJSON_IsString(error) ? error->valuestring : "";
    if (cJSON_IsObject(error) && (!tl_json_string(error, "text", "", &text, &why) ||
                                  !tl_json_bool(error, "retry", false, &out->may_retry, &why) ||
                                  !tl_json_int(error, "item", -1, &out->item, &why)))
        return faulty(err, &why);
    if (!cJSON_IsObject(error) && !cJSON_IsString(error))
        return tl_err_set(err, TL_PLUGIN, "sends an \"error\" that is no object");
    if (out->item < -1 || (out->item >= 0 && (size_t)out->item >= n))
        return tl_err_set(err, TL_PLUGIN, "refuses item %lld of %zu", (long long)out->item, n);
    out->is_error = true;
    tl_exec_log_copy(out->text, sizeof out->text, text, strlen(text));
    return true;
}

/* A number, or {"i": its place, "score": a number}. */
static bool read_score(const cJSON *item, size_t i, double *out, struct tl_err *err)
{
    struct tl_err why = {0};
    int64_t place = (int64_t)i;
    if (cJSON_IsObject(item)) {
        if (!tl_json_int(item, "i", -1, &place, &why)) return faulty(err, &why);
        item = tl_json_get(item, "score");
    }
    if (place != (int64_t)i)
        return tl_err_set(err, TL_PLUGIN, "answers out of order: score %zu has \"i\" %lld", i,
                          (long long)place);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return tl_err_set(err, TL_PLUGIN, "sends a score (number %zu) that is not a finite number", i);
    *out = item->valuedouble;
    return true;
}

static bool read_scores(const cJSON *list, size_t n, double *scores, struct tl_err *err)
{
    const cJSON *item;
    size_t i = 0, count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
    if (!cJSON_IsArray(list)) return tl_err_set(err, TL_PLUGIN, "sends no list of \"scores\"");
    if (count != n) return tl_err_set(err, TL_PLUGIN, "sends %zu scores, and %zu are due", count, n);
    cJSON_ArrayForEach(item, list)
    {
        if (!read_score(item, i, &scores[i], err)) return false;
        i++;
    }
    return true;
}

bool tl_exec_read_reply(const char *line, size_t n_line, int64_t id, size_t n, double *scores,
                        struct tl_exec_reply *out, struct tl_err *err)
{
    struct tl_err why = {0};
    int64_t its;
    cJSON *message = parse(line, n_line, err);
    *out = (struct tl_exec_reply){.item = -1};
    if (!message) return false;
    bool ok = tl_json_int(message, "id", -1, &its, &why) || faulty(err, &why);
    if (ok && its != id)
        ok = tl_err_set(err, TL_PLUGIN,
                        its < 0 ? "answers without an \"id\""
                                : "answers request %lld, and request %lld is the one that was sent",
                        (long long)its, (long long)id);
    const cJSON *error = tl_json_get(message, "error");
    ok = ok && (error ? read_refusal(error, n, out, err)
                      : read_scores(tl_json_get(message, "scores"), n, scores, err));
    cJSON_Delete(message);
    return ok;
}
