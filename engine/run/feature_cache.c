#include "run/feature_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/log.h>

#include "base/checked.h"
#include "base/sha256.h"
#include "io/file.h"

static const char magic[8] = {'T', 'L', 'E', 'M', 'B', 'E', 'D', '1'};
static const int64_t most_pack = (int64_t)4 << 30, most_total = (int64_t)16 << 30;
enum { ALIGN = 8, HASH = 32, BLOCK = 1 << 16 };

struct header {
    char magic[8];
    uint8_t hash[HASH];
    uint32_t n, dim;
    uint64_t sum;        /* of the rows */
    uint64_t header_sum; /* of what stands before it */
};
_Static_assert(sizeof(struct header) == 64, "the format");

struct entry {
    uint8_t hash[HASH];
    int64_t place; /* offset of the header plus 1; 0: the slot is empty */
};

struct tl_feature_cache {
    struct tl_str path;
    int fd;
    size_t dim;
    pthread_mutex_t lock; /* of the table: the reader's thread finds what the caller's adds */
    struct entry
        *slots; /* [n_slots], a power of two, half of them empty at least; by the hash's first bytes */
    size_t n, n_slots;
    bool is_closed; /* may not be written, or could not be: no further try */
};

/* ---- sums and hashes ---- */

/* FNV-1a: any change of one byte changes it. */
static uint64_t sum_of(const void *data, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (const uint8_t *p = data, *end = p + n; p < end; p++) h = (h ^ *p) * 0x100000001b3u;
    return h;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hash(const char hash[65], uint8_t out[HASH])
{
    for (int i = 0; i < HASH; i++) {
        int high = digit(hash[2 * i]), low = high < 0 ? -1 : digit(hash[2 * i + 1]);
        if (low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ---- reading ---- */

static bool read_at(int fd, void *out, size_t n, int64_t offset)
{
    for (uint8_t *p = out; n;) {
        ssize_t got = pread(fd, p, n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        p += got;
        n -= (size_t)got;
        offset += got;
    }
    return true;
}

static int64_t rows_bytes(const struct header *h)
{
    return (int64_t)h->n * (int64_t)h->dim * (int64_t)sizeof(float);
}

/* 0 where the header at `offset` is none of a record that can be whole. */
static int64_t record_bytes(int fd, int64_t offset, int64_t end, struct header *out)
{
    if (end - offset < (int64_t)sizeof *out || !read_at(fd, out, sizeof *out, offset) ||
        memcmp(out->magic, magic, sizeof magic) != 0 ||
        out->header_sum != sum_of(out, offsetof(struct header, header_sum)) || out->n == 0 || out->dim == 0 ||
        out->n > (1u << 28) || out->dim > (1u << 24))
        return 0;
    int64_t bytes = (int64_t)sizeof *out + rows_bytes(out);
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return bytes <= end - offset ? bytes : 0;
}

/* The next place from `offset` on where a record may begin; `end` without one. */
static int64_t next_magic(int fd, int64_t offset, int64_t end)
{
    char block[BLOCK];
    while (offset < end) {
        int64_t n = end - offset < BLOCK ? end - offset : BLOCK;
        if (!read_at(fd, block, (size_t)n, offset)) return end;
        for (int64_t i = 0; i + ALIGN <= n; i += ALIGN)
            if (memcmp(block + i, magic, sizeof magic) == 0) return offset + i;
        offset += n;
    }
    return end;
}

/* A record ends where the file ends or another begins. The header of half a record, behind which others were
 * added later, claims a place in the middle of one. */
static bool ends_well(int fd, int64_t at, int64_t end)
{
    char next[sizeof magic];
    return at == end || (end - at >= (int64_t)sizeof next && read_at(fd, next, sizeof next, at) &&
                         memcmp(next, magic, sizeof magic) == 0);
}

static struct entry *slot_of(struct entry *slots, size_t n_slots, const uint8_t hash[HASH])
{
    size_t at;
    memcpy(&at, hash, sizeof at);
    for (at &= n_slots - 1; slots[at].place && memcmp(slots[at].hash, hash, HASH) != 0;)
        at = (at + 1) & (n_slots - 1);
    return &slots[at];
}

static bool grow(struct tl_feature_cache *c)
{
    size_t n_slots = c->n_slots ? 2 * c->n_slots : 256;
    struct entry *more = calloc(n_slots, sizeof *more);
    if (!more) return false;
    for (size_t i = 0; i < c->n_slots; i++)
        if (c->slots[i].place) *slot_of(more, n_slots, c->slots[i].hash) = c->slots[i];
    free(c->slots);
    c->slots = more;
    c->n_slots = n_slots;
    return true;
}

/* Of records of one hash the last one counts. */
static bool add_entry(struct tl_feature_cache *c, const uint8_t hash[HASH], int64_t offset)
{
    if (c->n >= c->n_slots / 2 && !grow(c)) return false;
    struct entry *e = slot_of(c->slots, c->n_slots, hash);
    c->n += !e->place;
    memcpy(e->hash, hash, HASH);
    e->place = offset + 1;
    return true;
}

static void read_index(struct tl_feature_cache *c, int64_t end)
{
    struct header h;
    for (int64_t at = 0, bytes; at < end; at += bytes) {
        bytes = record_bytes(c->fd, at, end, &h);
        if (bytes && h.dim == c->dim && !add_entry(c, h.hash, at)) break;
        if (!bytes || !ends_well(c->fd, at + bytes, end)) bytes = next_magic(c->fd, at + ALIGN, end) - at;
    }
}

/* Where the last record of the hash is; -1: there is none. */
static int64_t offset_of(struct tl_feature_cache *c, const uint8_t hash[HASH])
{
    pthread_mutex_lock(&c->lock);
    int64_t offset = c->n_slots ? slot_of(c->slots, c->n_slots, hash)->place - 1 : -1;
    pthread_mutex_unlock(&c->lock);
    return offset;
}

bool tl_feature_cache_find(struct tl_feature_cache *c, const char hash[65], float **out_rows, size_t *out_n)
{
    uint8_t key[HASH];
    struct header h;
    struct stat st;
    if (!c || !parse_hash(hash, key)) return false;
    int64_t offset = offset_of(c, key);
    if (offset < 0 || fstat(c->fd, &st) != 0 || !record_bytes(c->fd, offset, st.st_size, &h) ||
        h.dim != c->dim || memcmp(h.hash, key, HASH) != 0)
        return false;
    size_t bytes = (size_t)rows_bytes(&h);
    float *rows = malloc(bytes);
    if (rows && read_at(c->fd, rows, bytes, offset + (int64_t)sizeof h) && sum_of(rows, bytes) == h.sum) {
        *out_rows = rows;
        *out_n = h.n;
        return true;
    }
    free(rows);
    return false;
}

/* ---- writing ---- */

static bool lock(int fd)
{
    int r;
    while ((r = flock(fd, LOCK_EX)) != 0 && errno == EINTR) {
    }
    return r == 0;
}

static bool write_at(int fd, const void *data, size_t n, int64_t offset)
{
    for (const uint8_t *p = data; n;) {
        ssize_t put = pwrite(fd, p, n, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        p += put;
        n -= (size_t)put;
        offset += put;
    }
    return true;
}

/* At the end, which is brought to a multiple of ALIGN; what could not be written whole is cut off again. */
static bool append(int fd, const void *data, size_t n, int64_t *out_offset)
{
    struct stat st;
    if (!lock(fd)) return false;
    bool ok = fstat(fd, &st) == 0;
    *out_offset = ok ? ((int64_t)st.st_size + ALIGN - 1) / ALIGN * ALIGN : 0;
    if (ok && !write_at(fd, data, n, *out_offset)) {
        int why = errno;
        ok = ftruncate(fd, st.st_size) == 0 && false;
        errno = why;
    }
    int why = errno;
    flock(fd, LOCK_UN);
    errno = why;
    return ok;
}

void tl_feature_cache_add(struct tl_feature_cache *c, const char hash[65], const float *rows, size_t n)
{
    struct header h = {.n = (uint32_t)n};
    size_t bytes;
    if (!c || c->is_closed || n == 0 || n > (1u << 28) || !parse_hash(hash, h.hash) ||
        !tl_checked_mul(n, c->dim, &bytes) || !tl_checked_mul(bytes, sizeof *rows, &bytes) ||
        (int64_t)bytes > most_pack / 4)
        return;
    size_t whole = (sizeof h + bytes + ALIGN - 1) / ALIGN * ALIGN;
    uint8_t *record = calloc(1, whole);
    if (!record) return;
    memcpy(h.magic, magic, sizeof magic);
    h.dim = (uint32_t)c->dim;
    h.sum = sum_of(rows, bytes);
    h.header_sum = sum_of(&h, offsetof(struct header, header_sum));
    memcpy(record, &h, sizeof h);
    memcpy(record + sizeof h, rows, bytes);
    int64_t offset;
    if (append(c->fd, record, whole, &offset)) {
        pthread_mutex_lock(&c->lock);
        add_entry(c, h.hash, offset); /* without memory it is found by the next run */
        pthread_mutex_unlock(&c->lock);
    } else {
        c->is_closed = true;
        tl_log(TL_LOG_WARN, "%s: cannot write: %s; embeddings are not kept", c->path.data, strerror(errno));
    }
    free(record);
}

/* ---- opening ---- */

bool tl_feature_cache_folder(struct tl_str *out)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    tl_str_clear(out);
    if (cache && *cache == '/')
        tl_str_printf(out, "%s/tiller/embeddings", cache);
    else if (home && *home == '/')
        tl_str_printf(out, "%s/.cache/tiller/embeddings", home);
    return out->len && !out->failed;
}

static void add_text(struct tl_sha256 *s, const char *text)
{
    tl_sha256_add(s, text, strlen(text) + 1);
}

static void key_of(const struct tl_encoder_about *about, enum tl_dtype dtype, const char *device,
                   char out[65])
{
    struct tl_sha256 s;
    char format[64];
    tl_sha256_init(&s);
    snprintf(format, sizeof format, "embeddings 2 %d %zu %d", (int)dtype, about->dim, (int)sizeof(float));
    add_text(&s, format);
    add_text(&s, about->cls->name);
    add_text(&s, about->sha256);
    add_text(&s, about->config_sha256);
    add_text(&s, about->settings ? about->settings : "");
    add_text(&s, device ? device : "");
    tl_sha256_hex(&s, out);
}

struct pack {
    char *path;
    int64_t bytes;
    struct timespec used;
};

static int by_use(const void *a, const void *b)
{
    const struct pack *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec) return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

/* Removes packs other than `keep`, longest unused first, until all stay below the limit. */
static void make_room(const char *folder, const char *keep)
{
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n, n_packs = 0;
    int64_t total = 0;
    struct stat st;
    if (!tl_file_list(folder, &arena, &names, &n, NULL)) n = 0;
    struct pack *packs = tl_arena_alloc(&arena, n + 1, sizeof *packs);
    for (size_t i = 0; packs && i < n; i++) {
        char *path = tl_path_join_in(&arena, folder, names[i]);
        if (!path || !tl_str_ends(path, ".pack") || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) continue;
        total += st.st_size;
        if (strcmp(path, keep) != 0) packs[n_packs++] = (struct pack){path, st.st_size, st.st_mtim};
    }
    if (n_packs) qsort(packs, n_packs, sizeof *packs, by_use);
    for (size_t i = 0; i < n_packs && total > most_total; i++)
        if (unlink(packs[i].path) == 0) total -= packs[i].bytes;
    tl_arena_finish(&arena);
}

/* What may only be read is read. */
static void open_file(struct tl_feature_cache *c)
{
    const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    c->fd = open(c->path.data, O_RDWR | O_CREAT | flags, 0600);
    if (c->fd >= 0 || (errno != EACCES && errno != EPERM && errno != EROFS)) return;
    int why = errno;
    c->fd = open(c->path.data, O_RDONLY | flags);
    c->is_closed = true;
    errno = why;
}

static bool open_pack(struct tl_feature_cache *c, const char *folder, const char *key)
{
    struct tl_err err = {0};
    struct stat st;
    if (!tl_file_make_folder(folder, &err)) {
        tl_log(TL_LOG_WARN, "%s; embeddings are not kept", err.text);
        return false;
    }
    tl_str_printf(&c->path, "%s/%.32s.pack", folder, key);
    if (c->path.failed) return false;
    open_file(c);
    if (c->fd < 0 || fstat(c->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        tl_log(TL_LOG_WARN, "%s: cannot open: %s; embeddings are not kept", c->path.data, strerror(errno));
        return false;
    }
    if (!c->is_closed && st.st_size > most_pack && lock(c->fd)) {
        if (ftruncate(c->fd, 0) == 0) st.st_size = 0;
        flock(c->fd, LOCK_UN);
    }
    if (!c->is_closed) futimens(c->fd, NULL);
    read_index(c, st.st_size);
    if (!c->is_closed) make_room(folder, c->path.data);
    return true;
}

struct tl_feature_cache *tl_feature_cache_open(const char *folder, const struct tl_encoder_about *about,
                                               enum tl_dtype dtype, const char *device)
{
    char key[65];
    struct tl_feature_cache *c = folder ? calloc(1, sizeof *c) : NULL;
    if (!c) return NULL;
    c->fd = -1;
    pthread_mutex_init(&c->lock, NULL);
    c->dim = about->dim;
    key_of(about, dtype, device, key);
    if (!open_pack(c, folder, key)) tl_feature_cache_close(&c);
    return c;
}

void tl_feature_cache_close(struct tl_feature_cache **cache)
{
    struct tl_feature_cache *c = *cache;
    *cache = NULL;
    if (!c) return;
    if (c->fd >= 0) close(c->fd);
    free(c->slots);
    pthread_mutex_destroy(&c->lock);
    tl_str_finish(&c->path);
    free(c);
}
