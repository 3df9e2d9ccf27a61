/* Reads and checks a safetensors header: the steps of the format's description, in its order. */
#include "io/st_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/json_scan.h"
#include "io/utf8.h"

struct entry {
    struct tl_st_tensor t;
    uint64_t begin, end; /* relative to the data buffer */
};

struct reader {
    struct tl_st_file *file;
    struct tl_json_scan scan;
    struct tl_str text; /* the string read last */
    struct entry *entries;
    size_t n, size;
    size_t meta_size;
    bool meta_seen;
    struct tl_err *err;
};

static bool bad(struct reader *r, const char *reason)
{
    return tl_err_set(r->err, TL_BAD_INPUT, "%s: not a valid safetensors file: %s", r->file->what, reason);
}

static bool out_of_memory(struct reader *r)
{
    return tl_err_set(r->err, TL_BAD_INPUT, "%s: out of memory reading the header", r->file->what);
}

/* Copies the string read last into the pool. It fits: an escaped, quoted string is longer than its text and a
 * NUL. */
static const char *keep(struct reader *r)
{
    char *p = r->file->pool + r->file->pool_used;
    memcpy(p, r->text.data, r->text.len + 1);
    r->file->pool_used += r->text.len + 1;
    return p;
}

/* Room for one more of an array that doubles. */
static bool grow(void **array, size_t n, size_t *size, size_t item)
{
    if (n < *size) return true;
    size_t more = *size ? 2 * *size : 64;
    void *p = realloc(*array, more * item);
    if (!p) return false;
    *array = p;
    *size = more;
    return true;
}

static bool read_dtype(struct reader *r, struct entry *e)
{
    if (!tl_json_scan_string(&r->scan, &r->text)) return false;
    for (int d = 0; d < TL_ST_N_DTYPES; d++) {
        if (strcmp(tl_st_dtype_name((enum tl_st_dtype)d), r->text.data) == 0) {
            e->t.dtype = (enum tl_st_dtype)d;
            return true;
        }
    }
    return tl_err_set(r->err, TL_BAD_INPUT, "%s: %.200s: unknown dtype \"%.40s\"", r->file->what, e->t.name,
                      r->text.data);
}

static bool read_numbers(struct reader *r, uint64_t *out, unsigned most, unsigned *out_n)
{
    bool more = true;
    *out_n = 0;
    if (!tl_json_scan_char(&r->scan, '[')) return false;
    if (tl_json_scan_peek(&r->scan) == ']') return tl_json_scan_char(&r->scan, ']');
    while (more) {
        uint64_t v;
        if (!tl_json_scan_u64(&r->scan, &v)) return false;
        if (*out_n == most) return tl_json_scan_fail(&r->scan, "more numbers than allowed in a list");
        out[(*out_n)++] = v;
        if (!tl_json_scan_more(&r->scan, ']', &more)) return false;
    }
    return true;
}

/* One member of a tensor's object; `seen` has a bit for each known field. Unknown ones are passed over. */
static bool read_field(struct reader *r, struct entry *e, unsigned *seen)
{
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    if (!tl_json_scan_string(&r->scan, &r->text)) return false;
    unsigned field = 0, n;
    while (field < 3 && strcmp(fields[field], r->text.data) != 0) field++;
    if (!tl_json_scan_char(&r->scan, ':')) return false;
    if (field == 3) return tl_json_scan_skip(&r->scan, 2);
    if (*seen & 1u << field) return tl_json_scan_fail(&r->scan, "field given twice");
    *seen |= 1u << field;
    if (field == 0) return read_dtype(r, e);
    if (field == 1) return read_numbers(r, e->t.shape, TL_ST_MAX_RANK, &e->t.rank);
    uint64_t range[2];
    if (!read_numbers(r, range, 2, &n)) return false;
    if (n != 2) return tl_json_scan_fail(&r->scan, "data_offsets must have two numbers");
    e->begin = range[0];
    e->end = range[1];
    return true;
}

static bool read_tensor(struct reader *r)
{
    if (r->n == TL_ST_MAX_TENSORS) return bad(r, "more than the 200,000 tensors allowed");
    if (r->text.len > TL_ST_MAX_NAME) return bad(r, "a tensor name longer than the 512 bytes allowed");
    if (!grow((void **)&r->entries, r->n, &r->size, sizeof *r->entries)) return out_of_memory(r);
    struct entry *e = &r->entries[r->n++];
    *e = (struct entry){.t.name = keep(r)};
    unsigned seen = 0;
    bool more = true;
    if (!tl_json_scan_char(&r->scan, '{')) return false;
    if (tl_json_scan_peek(&r->scan) == '}') more = false;
    while (more) {
        if (!read_field(r, e, &seen) || !tl_json_scan_more(&r->scan, '}', &more)) return false;
    }
    if (seen == 7) return true;
    return tl_err_set(r->err, TL_BAD_INPUT, "%s: %.200s: dtype, shape and data_offsets are all needed",
                      r->file->what, e->t.name);
}

static bool read_metadata(struct reader *r)
{
    struct tl_st_file *f = r->file;
    bool more = true;
    if (r->meta_seen) return bad(r, "__metadata__ given twice");
    r->meta_seen = true;
    if (tl_json_scan_peek(&r->scan) == 'n') return tl_json_scan_skip(&r->scan, 1); /* null */
    if (!tl_json_scan_char(&r->scan, '{')) return false;
    if (tl_json_scan_peek(&r->scan) == '}') return tl_json_scan_char(&r->scan, '}');
    while (more) {
        if (f->n_meta == TL_ST_MAX_TENSORS) return bad(r, "more than 200,000 metadata entries");
        if (!grow((void **)&f->meta, f->n_meta, &r->meta_size, sizeof *f->meta)) return out_of_memory(r);
        if (!tl_json_scan_string(&r->scan, &r->text)) return false;
        f->meta[f->n_meta].key = keep(r);
        if (!tl_json_scan_char(&r->scan, ':') || !tl_json_scan_string(&r->scan, &r->text)) return false;
        f->meta[f->n_meta++].value = keep(r);
        if (!tl_json_scan_more(&r->scan, '}', &more)) return false;
    }
    return true;
}

static bool read_members(struct reader *r)
{
    bool more = true;
    if (!tl_json_scan_char(&r->scan, '{')) return false;
    if (tl_json_scan_peek(&r->scan) == '}') more = !tl_json_scan_char(&r->scan, '}');
    while (more) {
        if (!tl_json_scan_string(&r->scan, &r->text) || !tl_json_scan_char(&r->scan, ':')) return false;
        bool ok = strcmp(r->text.data, "__metadata__") == 0 ? read_metadata(r) : read_tensor(r);
        if (!ok || !tl_json_scan_more(&r->scan, '}', &more)) return false;
    }
    return tl_json_scan_finish(&r->scan);
}

static int by_offset(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->t.name, y->t.name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tl_st_tensor *)a)->name, ((const struct tl_st_tensor *)b)->name);
}

static int entry_by_name(const void *a, const void *b)
{
    return by_name(&((const struct entry *)a)->t, &((const struct entry *)b)->t);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct tl_st_meta *)a)->key, ((const struct tl_st_meta *)b)->key);
}

/* The reference keeps the last of two equal names; here they are an error. */
static bool check_duplicates(struct reader *r)
{
    struct tl_st_file *f = r->file;
    if (r->n) qsort(r->entries, r->n, sizeof *r->entries, entry_by_name);
    for (size_t i = 1; i < r->n; i++) {
        if (entry_by_name(&r->entries[i - 1], &r->entries[i]) == 0) {
            return tl_err_set(r->err, TL_BAD_INPUT, "%s: the tensor name %.200s appears twice", f->what,
                              r->entries[i].t.name);
        }
    }
    if (f->n_meta) qsort(f->meta, f->n_meta, sizeof *f->meta, by_key);
    for (size_t i = 1; i < f->n_meta; i++) {
        if (by_key(&f->meta[i - 1], &f->meta[i]) == 0) return bad(r, "a metadata key appears twice");
    }
    return true;
}

/* Steps 6 to 10: the tensors tile the buffer, each has the size of its shape, the last ends with the file. */
static bool check_offsets(struct reader *r, uint64_t buffer)
{
    const char *what = r->file->what;
    uint64_t end = 0;
    if (r->n) qsort(r->entries, r->n, sizeof *r->entries, by_offset);
    for (size_t i = 0; i < r->n; i++) {
        struct entry *e = &r->entries[i];
        char shape[200];
        bool whole;
        if (e->begin != end || e->end < e->begin) {
            return tl_err_set(
                r->err, TL_BAD_INPUT,
                "%s: %.200s: data_offsets [%llu, %llu) overlap or leave a hole: they must begin at %llu",
                what, e->t.name, (unsigned long long)e->begin, (unsigned long long)e->end,
                (unsigned long long)end);
        }
        if (!tl_st_shape_bytes(e->t.shape, e->t.rank, e->t.dtype, &e->t.n, &e->t.bytes, &whole)) {
            return tl_err_set(r->err, TL_BAD_INPUT, "%s: %.200s: the size of shape %s overflows", what,
                              e->t.name, tl_st_shape_text(&e->t, shape, sizeof shape));
        }
        if (!whole) {
            return tl_err_set(r->err, TL_BAD_INPUT, "%s: %.200s: %s of shape %s does not fill whole bytes",
                              what, e->t.name, tl_st_dtype_name(e->t.dtype),
                              tl_st_shape_text(&e->t, shape, sizeof shape));
        }
        if (e->end - e->begin != e->t.bytes) {
            return tl_err_set(
                r->err, TL_BAD_INPUT, "%s: %.200s: %s of shape %s needs %llu bytes, data_offsets give %llu",
                what, e->t.name, tl_st_dtype_name(e->t.dtype), tl_st_shape_text(&e->t, shape, sizeof shape),
                (unsigned long long)e->t.bytes, (unsigned long long)(e->end - e->begin));
        }
        end = e->end;
    }
    if (end == buffer) return true;
    return tl_err_set(r->err, TL_BAD_INPUT,
                      "%s: the header describes %llu bytes of data, the file has %llu: %s", what,
                      (unsigned long long)end, (unsigned long long)buffer,
                      end > buffer ? "cut short, fetch it again" : "trailing bytes");
}

/* Moves the tensors into the file, by name, with pointers in place of offsets. */
static bool settle(struct reader *r, const uint8_t *buffer)
{
    struct tl_st_file *f = r->file;
    f->tensors = malloc((r->n ? r->n : 1) * sizeof *f->tensors);
    if (!f->tensors) return out_of_memory(r);
    for (size_t i = 0; i < r->n; i++) {
        f->tensors[i] = r->entries[i].t;
        f->tensors[i].data = buffer + r->entries[i].begin;
    }
    f->n_tensors = r->n;
    qsort(f->tensors, r->n, sizeof *f->tensors, by_name);
    return true;
}

static uint64_t header_length(const uint8_t *data)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
    return length;
}

bool tl_st_header_fits(const uint8_t *data, size_t n)
{
    return n >= 8 && header_length(data) <= TL_ST_MAX_HEADER && header_length(data) <= n - 8;
}

/* Steps 1 to 3; a file of another well-known format is named instead. */
static bool check_length(struct reader *r, size_t *out_header)
{
    const struct tl_st_file *f = r->file;
    const char *foreign = tl_st_foreign_format(f->bytes, f->n_bytes);
    if (f->n_bytes < 8) return bad(r, foreign ? foreign : "shorter than the 8 bytes of its header's length");
    uint64_t header = header_length(f->bytes);
    if (header > TL_ST_MAX_HEADER) {
        return bad(r, foreign ? foreign : "its header would be longer than the 100,000,000 bytes allowed");
    }
    if (header > f->n_bytes - 8) {
        return bad(r, foreign ? foreign : "its header reaches beyond the end of the file; cut short");
    }
    *out_header = (size_t)header;
    return true;
}

bool tl_st_header_read(struct tl_st_file *f, struct tl_err *err)
{
    struct reader r = {.file = f, .err = err};
    size_t n = 0;
    if (!check_length(&r, &n)) return false;
    const char *header = (const char *)f->bytes + 8;
    r.scan =
        (struct tl_json_scan){.start = header, .p = header, .end = header + n, .what = f->what, .err = err};
    if (tl_utf8_prefix(header, n) != n) return bad(&r, "its header is not UTF-8");
    f->pool = malloc(n + 1);
    bool ok = f->pool ? read_members(&r) : out_of_memory(&r);
    ok = ok && check_duplicates(&r) && check_offsets(&r, f->n_bytes - 8 - n) && settle(&r, f->bytes + 8 + n);
    free(r.entries);
    tl_str_finish(&r.text);
    return ok;
}
