#include "models/clip_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "io/utf8.h"
#include "models/clip_bpe_inner.h"

void tl_clip_ids_finish(struct tl_clip_ids *ids)
{
    free(ids->ids);
    *ids = (struct tl_clip_ids){0};
}

/* One text on its way to ids. */
struct job {
    const struct tl_clip_bpe *tok;
    struct tl_clip_bpe_scratch *scratch;
    struct tl_clip_ids *out;
    struct tl_err *err;
};

/* The longest special token of the wanted sort at p, or NULL. */
static const struct tl_clip_bpe_special *special_at(const struct tl_clip_bpe *tok, const char *p, size_t n,
                                                    bool normalized)
{
    const struct tl_clip_bpe_special *best = NULL;
    for (size_t i = 0; i < tok->n_specials; i++) {
        const struct tl_clip_bpe_special *s = &tok->specials[i];
        if (s->normalized == normalized && s->len > 0 && s->len <= n && (!best || s->len > best->len) &&
            memcmp(p, s->text, s->len) == 0)
            best = s;
    }
    return best;
}

/* Cuts text at special tokens; what lies between goes to `between`. */
static bool cut_specials(struct job *job, const char *text, size_t n, bool normalized,
                         bool (*between)(struct job *job, const char *text, size_t n))
{
    size_t from = 0, at = 0;
    while (at < n) {
        const struct tl_clip_bpe_special *s = special_at(job->tok, text + at, n - at, normalized);
        if (!s) {
            at++;
            continue;
        }
        if (!between(job, text + from, at - from) || !tl_clip_ids_push(job->out, s->id, job->err))
            return false;
        from = at += s->len;
    }
    return between(job, text + from, n - from);
}

static bool encode_cleaned(struct job *job, const char *text, size_t n)
{
    struct tl_clip_bpe_pieces pieces = {.text = text, .n = n};
    size_t at, len, first = job->out->n;
    while (tl_clip_bpe_next_piece(&pieces, &at, &len))
        if (!tl_clip_bpe_merge_piece(job->tok, job->scratch, text + at, len, job->out, job->err))
            return false;
    for (size_t i = first; i < job->out->n; i++)
        if (job->out->ids[i] < 0) job->out->ids[i] = job->tok->unk;
    return true;
}

static bool encode_raw(struct job *job, const char *text, size_t n)
{
    struct tl_str clean = {0};
    bool ok = tl_clip_bpe_clean(text, n, &clean, job->err) &&
              cut_specials(job, clean.data ? clean.data : "", clean.len, true, encode_cleaned);
    tl_str_finish(&clean);
    return ok;
}

bool tl_clip_bpe_tokenize(const struct tl_clip_bpe *tok, const char *text, struct tl_clip_ids *out,
                          struct tl_err *err)
{
    size_t n = strlen(text), valid = tl_utf8_prefix(text, n);
    out->n = 0;
    if (valid != n)
        return tl_err_set(err, TL_BAD_INPUT, "text is not UTF-8: byte 0x%02x at offset %zu; save it as UTF-8",
                          (uint8_t)text[valid], valid);
    struct job job = {tok, tl_clip_bpe_scratch_new(), out, err};
    if (!job.scratch) return tl_err_set(err, TL_FAIL, "out of memory for a text");
    bool ok = cut_specials(&job, text, n, false, encode_raw);
    tl_clip_bpe_scratch_free(job.scratch);
    return ok;
}

bool tl_clip_bpe_encode(const struct tl_clip_bpe *tok, const char *text, size_t max_len, int32_t *out_ids,
                        size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text, struct tl_err *err)
{
    if (max_len < 2)
        return tl_err_set(err, TL_USAGE, "a token sequence of %zu has no room for begin and end; at least 2",
                          max_len);
    struct tl_clip_ids all = {0};
    if (!tl_clip_bpe_tokenize(tok, text, &all, err)) {
        tl_clip_ids_finish(&all);
        return false;
    }
    size_t kept = all.n < max_len - 2 ? all.n : max_len - 2;
    out_ids[0] = tok->bos;
    if (kept) memcpy(out_ids + 1, all.ids, kept * sizeof *out_ids);
    out_ids[kept + 1] = tok->eos;
    for (size_t i = kept + 2; i < max_len; i++) out_ids[i] = tok->pad;
    if (out_used) *out_used = kept + 2;
    if (out_cut) *out_cut = all.n - kept;
    if (out_cut_text && all.n > kept) tl_clip_bpe_decode(tok, all.ids + kept, all.n - kept, out_cut_text);
    tl_clip_ids_finish(&all);
    return true;
}

/* ---- decoding ---- */

static bool is_special(const struct tl_clip_bpe *tok, int32_t id)
{
    for (size_t i = 0; i < tok->n_specials; i++)
        if (tok->specials[i].id == id) return true;
    return false;
}

/* The symbol's characters back to bytes; characters outside the byte alphabet stay. */
static void append_bytes(struct tl_str *out, const char *symbol, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t len = tl_utf8_decode(symbol + at, &code);
        int byte = tl_clip_bpe_byte_of(code);
        char one = (char)byte;
        tl_str_append_n(out, byte < 0 ? symbol + at : &one, byte < 0 ? len : 1);
        at += len;
    }
}

static void append_id(const struct tl_clip_bpe *tok, int32_t id, struct tl_str *out)
{
    const char *text = id >= 0 && (size_t)id < tok->n_texts ? tok->texts[id] : NULL;
    if (!text) {
        tl_str_printf(out, "<id %d> ", (int)id);
    } else if (is_special(tok, id)) {
        tl_str_append(out, text);
        tl_str_append(out, " ");
    } else {
        bool word = tl_str_ends(text, TL_CLIP_BPE_WORD);
        append_bytes(out, text, strlen(text) - (word ? strlen(TL_CLIP_BPE_WORD) : 0));
        if (word) tl_str_append(out, " ");
    }
}

void tl_clip_bpe_decode(const struct tl_clip_bpe *tok, const int32_t *ids, size_t n, struct tl_str *out)
{
    struct tl_str raw = {0};
    for (size_t i = 0; i < n; i++) append_id(tok, ids[i], &raw);
    while (raw.len > 0 && raw.data[raw.len - 1] == ' ') raw.len--;
    for (size_t at = 0; at < raw.len;) { /* a cut may have parted the bytes of a character */
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
