#include "io/st_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/pth.h"

/* A format that holds tensors by name. The first row that knows the bytes reads them. */
static const struct format {
    const char *name;
    bool (*is)(const uint8_t *data, size_t n);
    /* Checks everything and fills tensors, meta and what they point to; the caller closes on failure. */
    bool (*read)(struct tl_st_file *file, struct tl_err *err);
} formats[] = {
    {"safetensors", tl_st_header_fits, tl_st_header_read},
    {"pytorch", tl_pth_is, tl_pth_read},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

void tl_st_close(struct tl_st_file **file)
{
    struct tl_st_file *f = *file;
    *file = NULL;
    if (!f) return;
    tl_map_close(&f->map);
    free(f->what);
    free(f->pool);
    tl_arena_finish(&f->own);
    free(f->tensors);
    free(f->meta);
    free(f);
}

struct tl_st_file *tl_st_open_memory(const void *data, size_t n, const char *what, struct tl_err *err)
{
    struct tl_st_file *f = calloc(1, sizeof *f);
    if (f) f->what = strdup(what);
    if (!f || !f->what) {
        tl_err_set(err, TL_BAD_INPUT, "%s: out of memory", what);
        tl_st_close(&f);
        return NULL;
    }
    f->bytes = data;
    f->n_bytes = n;
    const struct format *format = &formats[0]; /* whose errors name the formats that are not read */
    for (int i = N_FORMATS; i-- > 0;) {
        if (formats[i].is(data, n)) format = &formats[i];
    }
    f->format = format->name;
    if (!format->read(f, err)) tl_st_close(&f);
    return f;
}

struct tl_st_file *tl_st_open(const char *path, struct tl_err *err)
{
    struct tl_map map;
    if (!tl_map_open(&map, path, err)) return NULL;
    struct tl_st_file *f = NULL;
    if (map.n) {
        f = tl_st_open_memory(map.data, map.n, path, err);
    } else {
        tl_err_set(err, TL_BAD_INPUT, "%s: not a valid safetensors file: it is empty", path);
    }
    if (f) {
        f->map = map;
    } else {
        tl_map_close(&map);
    }
    return f;
}

const char *tl_st_format(const struct tl_st_file *file)
{
    return file->format;
}

void tl_st_let_go(const struct tl_st_file *file)
{
    tl_map_let_go(&file->map);
}

size_t tl_st_count(const struct tl_st_file *file)
{
    return file->n_tensors;
}

const struct tl_st_tensor *tl_st_at(const struct tl_st_file *file, size_t i)
{
    return &file->tensors[i];
}

static int name_order(const void *name, const void *tensor)
{
    return strcmp(name, ((const struct tl_st_tensor *)tensor)->name);
}

const struct tl_st_tensor *tl_st_find(const struct tl_st_file *file, const char *name)
{
    return bsearch(name, file->tensors, file->n_tensors, sizeof *file->tensors, name_order);
}

size_t tl_st_meta_count(const struct tl_st_file *file)
{
    return file->n_meta;
}

struct tl_st_meta tl_st_meta_at(const struct tl_st_file *file, size_t i)
{
    return file->meta[i];
}

const char *tl_st_meta_find(const struct tl_st_file *file, const char *key)
{
    for (size_t i = 0; i < file->n_meta; i++) {
        if (strcmp(file->meta[i].key, key) == 0) return file->meta[i].value;
    }
    return NULL;
}
