#include <stdlib.h>
#include <string.h>

#include "io/utf8.h"
#include "models/bpe.h"

void tl_bpe_ids_finish(struct tl_bpe_ids *ids)
{
    free(ids->ids);
    *ids = (struct tl_bpe_ids){0};
}

/* One text on its way to ids. */
struct job {
    const struct tl_bpe *tok;
    struct tl_bpe_scratch *scratch;
    struct tl_bpe_ids *out;
    struct tl_err *err;
};

/* The longest special token of the wanted sort at p, or NULL. */
static const struct tl_bpe_special *special_at(const struct tl_bpe *tok, const char *p, size_t n,
                                               bool normalized)
{
    const struct tl_bpe_special *best = NULL;
    for (uint32_t i = tok->first_special[(uint8_t)*p]; i; i = tok->specials[i - 1].next) {
        const struct tl_bpe_special *s = &tok->specials[i - 1]; /* of equal ones the first that was added */
        if (s->flags.normalized == normalized && s->len <= n && (!best || s->len >= best->len) &&
            memcmp(p, s->text, s->len) == 0)
            best = s;
    }
    return best;
}

/* Bytes of white space at the end of [text + from, text + to). */
static size_t spaces_before(const char *text, size_t from, size_t to)
{
    size_t at = to;
    while (at > from) {
        size_t start = at - 1, bytes;
        while (start > from && ((uint8_t)text[start] & 0xc0) == 0x80) start--;
        if (tl_bpe_class_at(text + start, &bytes) != TL_BPE_SPACE) break;
        at = start;
    }
    return to - at;
}

static size_t spaces_behind(const char *text, size_t from, size_t to)
{
    size_t at = from, bytes;
    while (at < to && tl_bpe_class_at(text + at, &bytes) == TL_BPE_SPACE) at += bytes;
    return at - from;
}

/* Cuts text at special tokens; what lies between goes to `between`. */
static bool cut_specials(struct job *job, const char *text, size_t n, bool normalized,
                         bool (*between)(struct job *job, const char *text, size_t n))
{
    size_t from = 0, at = 0;
    while (at < n) {
        const struct tl_bpe_special *s = special_at(job->tok, text + at, n - at, normalized);
        if (!s) {
            at++;
            continue;
        }
        size_t to = at - (s->flags.lstrip ? spaces_before(text, from, at) : 0);
        if (!between(job, text + from, to - from) || !tl_bpe_ids_push(job->out, s->id, job->err))
            return false;
        at += s->len;
        if (s->flags.rstrip) at += spaces_behind(text, at, n);
        from = at;
    }
    return between(job, text + from, n - from);
}

static bool encode_pieces(struct job *job, const char *text, size_t n)
{
    struct tl_bpe_pieces pieces = {.text = text, .n = n};
    size_t at, len, first = job->out->n;
    while (job->tok->next_piece(&pieces, &at, &len))
        if (!tl_bpe_merge_piece(job->tok, job->scratch, text + at, len, job->out, job->err)) return false;
    for (size_t i = first; i < job->out->n; i++)
        if (job->out->ids[i] < 0) job->out->ids[i] = job->tok->unk;
    return true;
}

static bool encode_cleaned(struct job *job, const char *text, size_t n)
{
    if (n == 0) return true;
    if (!job->tok->prefix_space || text[0] == ' ') return encode_pieces(job, text, n);
    struct tl_str s = {0};
    tl_str_append(&s, " ");
    tl_str_append_n(&s, text, n);
    bool ok = s.failed ? tl_err_set(job->err, TL_FAIL, "out of memory for a text")
                       : encode_pieces(job, s.data, s.len);
    tl_str_finish(&s);
    return ok;
}

static bool encode_raw(struct job *job, const char *text, size_t n)
{
    struct tl_str clean = {0};
    if (!job->tok->clean) return cut_specials(job, text, n, true, encode_cleaned);
    bool ok = job->tok->clean(text, n, &clean, job->err) &&
              cut_specials(job, clean.data ? clean.data : "", clean.len, true, encode_cleaned);
    tl_str_finish(&clean);
    return ok;
}

bool tl_bpe_tokenize(const struct tl_bpe *tok, const char *text, struct tl_bpe_ids *out, struct tl_err *err)
{
    size_t n = strlen(text), valid = tl_utf8_prefix(text, n);
    out->n = 0;
    if (valid != n)
        return tl_err_set(err, TL_BAD_INPUT, "text is not UTF-8: byte 0x%02x at offset %zu; save it as UTF-8",
                          (uint8_t)text[valid], valid);
    struct job job = {tok, tl_bpe_scratch_new(), out, err};
    if (!job.scratch) return tl_err_set(err, TL_FAIL, "out of memory for a text");
    bool ok = cut_specials(&job, text, n, false, encode_raw);
    tl_bpe_scratch_free(job.scratch);
    return ok;
}

bool tl_bpe_encode(const struct tl_bpe *tok, const char *text, size_t max_len, int32_t *out_ids,
                   size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text, struct tl_err *err)
{
    if (max_len < 2)
        return tl_err_set(err, TL_USAGE, "a token sequence of %zu has no room for begin and end; at least 2",
                          max_len);
    struct tl_bpe_ids all = {0};
    if (!tl_bpe_tokenize(tok, text, &all, err)) {
        tl_bpe_ids_finish(&all);
        return false;
    }
    size_t kept = all.n < max_len - 2 ? all.n : max_len - 2;
    out_ids[0] = tok->bos;
    if (kept) memcpy(out_ids + 1, all.ids, kept * sizeof *out_ids);
    out_ids[kept + 1] = tok->eos;
    for (size_t i = kept + 2; i < max_len; i++) out_ids[i] = tok->pad;
    if (out_used) *out_used = kept + 2;
    if (out_cut) *out_cut = all.n - kept;
    if (out_cut_text && all.n > kept) tl_bpe_decode(tok, all.ids + kept, all.n - kept, out_cut_text);
    tl_bpe_ids_finish(&all);
    return true;
}

/* ---- decoding ---- */

/* The symbol's characters back to bytes; characters outside the byte alphabet stay. */
static void append_bytes(struct tl_str *out, const char *symbol, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t len = tl_utf8_decode(symbol + at, &code);
        int byte = tl_bpe_byte_of(code);
        char one = (char)byte;
        tl_str_append_n(out, byte < 0 ? symbol + at : &one, byte < 0 ? len : 1);
        at += len;
    }
}

static void append_id(const struct tl_bpe *tok, int32_t id, struct tl_str *out)
{
    const char *text = id >= 0 && (size_t)id < tok->n_texts ? tok->texts[id] : NULL;
    if (!text) {
        tl_str_printf(out, "<id %d> ", (int)id);
    } else if (tl_bpe_special_of(tok, id)) {
        tl_str_append(out, text);
        tl_str_append(out, " ");
    } else {
        size_t end = strlen(tok->word_end);
        bool word = end > 0 && tl_str_ends(text, tok->word_end);
        append_bytes(out, text, strlen(text) - (word ? end : 0));
        if (word) tl_str_append(out, " ");
    }
}

void tl_bpe_decode(const struct tl_bpe *tok, const int32_t *ids, size_t n, struct tl_str *out)
{
    struct tl_str raw = {0};
    for (size_t i = 0; i < n; i++) append_id(tok, ids[i], &raw);
    while (raw.len > 0 && raw.data[raw.len - 1] == ' ') raw.len--;
    size_t start = 0; /* where a space belongs to the word behind it */
    while (!*tok->word_end && start < raw.len && raw.data[start] == ' ') start++;
    for (size_t at = start; at < raw.len;) { /* a cut may have parted the bytes of a character */
        size_t valid = tl_utf8_prefix(raw.data + at, raw.len - at);
        tl_str_append_n(out, raw.data + at, valid);
        at += valid;
        if (at == raw.len) break;
        tl_str_append(out, "\xef\xbf\xbd");
        at++;
    }
    out->failed |= raw.failed;
    tl_str_finish(&raw);
}
