#include "io/st_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void tl_st_close(struct tl_st_file **file)
{
    struct tl_st_file *f = *file;
    *file = NULL;
    if (!f) return;
    if (f->map) munmap(f->map, f->n_bytes);
    free(f->what);
    free(f->pool);
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
    if (!tl_st_header_read(f, err)) tl_st_close(&f);
    return f;
}

struct tl_st_file *tl_st_open(const char *path, struct tl_err *err)
{
    struct stat st = {0};
    struct tl_st_file *f = NULL;
    void *map = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for its writer */
    if (fd < 0 || fstat(fd, &st) != 0) {
        tl_err_set(err, TL_BAD_INPUT, "%s: cannot open: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        tl_err_set(err, TL_BAD_INPUT, "%s: is not a plain file", path);
    } else if ((uint64_t)st.st_size > SIZE_MAX) {
        tl_err_set(err, TL_BAD_INPUT, "%s: too large for this machine's addresses", path);
    } else if (st.st_size > 0) {
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) {
            map = NULL;
            tl_err_set(err, TL_BAD_INPUT, "%s: cannot map: %s", path, strerror(errno));
        }
    } else {
        tl_err_set(err, TL_BAD_INPUT, "%s: not a valid safetensors file: it is empty", path);
    }
    if (fd >= 0) close(fd);
    if (!map) return NULL;
    f = tl_st_open_memory(map, (size_t)st.st_size, path, err);
    if (f) {
        f->map = map;
    } else {
        munmap(map, (size_t)st.st_size);
    }
    return f;
}

void tl_st_let_go(const struct tl_st_file *file)
{
    /* A private mapping that nobody writes to: dropped pages come back from the file. */
    if (file->map) (void)madvise(file->map, file->n_bytes, MADV_DONTNEED);
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
