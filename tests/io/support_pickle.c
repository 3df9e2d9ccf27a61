#include "io/support_pickle.h"

#include <ctype.h>

#include "io/zip.h"

static void put_number(struct tl_str *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) tl_str_append_n(out, &(char){(char)(v >> 8 * i)}, 1);
}

static const char *put_global(struct tl_str *out, const char *p)
{
    const char *end = p + strcspn(p, " "), *dot = end;
    while (*--dot != '.') continue;
    tl_str_append(out, "c");
    tl_str_append_n(out, p, (size_t)(dot - p));
    tl_str_append(out, "\n");
    tl_str_append_n(out, dot + 1, (size_t)(end - dot - 1));
    tl_str_append(out, "\n");
    return end;
}

void pickle_ops(struct tl_str *out, const char *ops)
{
    if (!out->len) tl_str_append(out, "\x80\x02");
    for (const char *p = ops; *p;) {
        if (*p == '\'') {
            const char *end = strchr(p + 1, '\'');
            tl_str_append(out, "X");
            put_number(out, (uint32_t)(end - p - 1));
            tl_str_append_n(out, p + 1, (size_t)(end - p - 1));
            p = end + 1;
        } else if (*p == '#') {
            char *end;
            tl_str_append(out, "J");
            put_number(out, (uint32_t)strtol(p + 1, &end, 10));
            p = end;
        } else if (*p == '@') {
            p = put_global(out, p + 1);
        } else {
            if (*p != ' ') tl_str_append_n(out, p, 1);
            p++;
        }
    }
}

void pickle_tensor(struct tl_str *out, const char *type, const char *key, int numel, int offset,
                   const char *shape, const char *stride)
{
    char ops[1024];
    snprintf(ops, sizeof ops,
             "@torch._utils._rebuild_tensor_v2 (('storage' @torch.%s '%s' 'cpu' #%d tQ #%d %s %s "
             "\x89 @collections.OrderedDict )R tR",
             type, key, numel, offset, shape, stride);
    pickle_ops(out, ops);
}

const char *pickle_put(const char *name, const struct tl_str *pickle, const void *data, size_t n)
{
    struct tl_err err = {0};
    struct tl_zip_item items[] = {{"a/data.pkl", pickle->data, pickle->len}, {"a/data/0", data, n}};
    const char *path = io_path(name);
    check_ok(tl_zip_write(path, items, data ? 2 : 1, false, &err), &err);
    return path;
}
