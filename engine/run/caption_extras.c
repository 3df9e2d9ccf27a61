#include "run/caption_extras.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"

static bool add_negative(struct tl_caption_extras *x, const char *text)
{
    if ((x->n_negatives & (x->n_negatives - 1)) == 0) { /* full at powers of two */
        char **p = realloc(x->negatives, (size_t)(x->n_negatives ? 2 * x->n_negatives : 1) * sizeof *p);
        if (!p) return false;
        x->negatives = p;
    }
    x->negatives[x->n_negatives] = strdup(text);
    return x->negatives[x->n_negatives++] != NULL;
}

static bool read_labels(struct tl_caption_extras *x, int n, int i, const cJSON *rows, struct tl_err *err)
{
    int channels = cJSON_GetArraySize(rows);
    if (channels > TL_PATCH_CHANNELS)
        return tl_err_set(err, TL_BAD_INPUT, "%d rows of patch_labels; at most %d are read", channels,
                          TL_PATCH_CHANNELS);
    if (channels == 0) return true;
    if (!x->labels) {
        x->n_channels = channels;
        x->labels = calloc((size_t)n * (size_t)channels, (size_t)x->n_patches);
        if (!x->labels) return tl_err_set(err, TL_FAIL, "out of memory");
    }
    if (channels != x->n_channels)
        return tl_err_set(err, TL_BAD_INPUT,
                          "%d rows of patch_labels, the first picture that has some has %d", channels,
                          x->n_channels);
    x->labelled[i] = true;
    for (int k = 0; k < channels; k++) {
        const cJSON *row = cJSON_GetArrayItem(rows, k);
        if (!cJSON_IsString(row) || strlen(row->valuestring) != (size_t)x->n_patches)
            return tl_err_set(err, TL_BAD_INPUT,
                              "patch_labels must be strings of %d digits, one a patch of this encoder",
                              x->n_patches);
        for (int p = 0; p < x->n_patches; p++) {
            int label = row->valuestring[p] - '0';
            if (label < 0 || label > 9)
                return tl_err_set(err, TL_BAD_INPUT, "patch_labels: '%c' is no digit", row->valuestring[p]);
            x->labels[((size_t)i * (size_t)channels + (size_t)k) * (size_t)x->n_patches + (size_t)p] =
                (uint8_t)label;
            if (label >= x->n_classes[k]) x->n_classes[k] = label + 1;
        }
    }
    return true;
}

static bool read_row(struct tl_caption_extras *x, int n, int i, const char *text, struct tl_err *err)
{
    cJSON *row = tl_json_parse(text, strlen(text), "metadata row", err);
    if (!row) return false;
    bool ok = true;
    const cJSON *negatives = tl_json_get(row, "negatives"), *labels = tl_json_get(row, "patch_labels"),
                *item = NULL;
    for (item = cJSON_IsArray(negatives) ? negatives->child : NULL; item && ok; item = item->next)
        if (cJSON_IsString(item))
            ok = add_negative(x, item->valuestring) || tl_err_set(err, TL_FAIL, "out of memory");
    if (ok && cJSON_IsArray(labels)) ok = read_labels(x, n, i, labels, err);
    cJSON_Delete(row);
    return ok;
}

bool tl_caption_extras_read(const struct tl_dataset *data, int patches, struct tl_caption_extras *x,
                            struct tl_err *err)
{
    *x = (struct tl_caption_extras){.n_patches = patches,
                                    .first_negative = calloc((size_t)data->n + 1, sizeof(int)),
                                    .labelled = calloc((size_t)data->n + 1, sizeof(bool))};
    bool ok = (x->first_negative && x->labelled) || tl_err_set(err, TL_FAIL, "out of memory");
    for (int i = 0; ok && i < data->n; i++) {
        const struct tl_folder_item *item = &data->folder.items[data->item[i]];
        x->first_negative[i] = x->n_negatives;
        if (item->json) ok = read_row(x, data->n, i, item->json, err) || tl_err_add(err, "%s", item->path);
    }
    if (ok)
        x->first_negative[data->n] = x->n_negatives;
    else
        tl_caption_extras_finish(x);
    return ok;
}

const uint8_t *tl_caption_extras_labels(const struct tl_caption_extras *x, int picture, int channel)
{
    size_t row = (size_t)picture * (size_t)x->n_channels + (size_t)channel;
    return x->labelled[picture] ? x->labels + row * (size_t)x->n_patches : NULL;
}

void tl_caption_extras_finish(struct tl_caption_extras *x)
{
    for (int i = 0; i < x->n_negatives; i++) free(x->negatives[i]);
    free(x->negatives);
    free(x->first_negative);
    free(x->labels);
    free(x->labelled);
    *x = (struct tl_caption_extras){0};
}
