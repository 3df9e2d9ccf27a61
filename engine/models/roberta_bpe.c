#include "models/roberta_bpe.h"

#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "models/bpe.h"

enum { MAX_LEN = 512 };

struct tl_roberta_bpe {
    struct tl_bpe bpe;
};

/* ---- pieces ---- */

/* The run of white space at `at`, to the end of the text or up to its last character, which may belong to
 * what follows; a single character stays whole. */
static size_t space_piece(const struct tl_bpe_pieces *p)
{
    size_t len = 0, last = 0, bytes;
    while (p->at + len < p->n && tl_bpe_class_at(p->text + p->at + len, &bytes) == TL_BPE_SPACE) {
        last = len;
        len += bytes;
    }
    return p->at + len == p->n || last == 0 ? len : last;
}

static bool next_piece(struct tl_bpe_pieces *p, size_t *out_at, size_t *out_n)
{
    if (p->at >= p->n) return false;
    const char *text = p->text + p->at;
    size_t left = p->n - p->at, bytes;
    size_t len = tl_bpe_starts_with(text, left, tl_bpe_contractions);
    if (len == 0) {
        size_t before = text[0] == ' ' && left > 1;
        enum tl_bpe_class class = tl_bpe_class_at(text + before, &bytes);
        if (class == TL_BPE_SPACE) {
            len = space_piece(p);
        } else {
            len = before + bytes;
            while (len < left && tl_bpe_class_at(text + len, &bytes) == class) len += bytes;
        }
    }
    *out_at = p->at;
    *out_n = len;
    p->at += len;
    return true;
}

/* ---- opening ---- */

static bool check_config(struct tl_bpe *tok, const cJSON *config, struct tl_err *err)
{
    const char *class;
    double max_len;
    if (!tl_json_string(config, "tokenizer_class", "RobertaTokenizer", &class, err) ||
        !tl_json_bool(config, "add_prefix_space", false, &tok->prefix_space, err) ||
        !tl_json_double(config, "model_max_length", MAX_LEN, &max_len, err))
        return false;
    if (!strstr(class, "Roberta") && !strstr(class, "PreTrained") && strcmp(class, "TokenizersBackend") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "tokenizer_class %.60s is not RoBERTa's", class);
    if (max_len >= 2 && max_len <= 1e6) tok->max_len = (size_t)max_len; /* "no limit" is written as 1e30 */
    return true;
}

static bool check_whole(const cJSON *whole, struct tl_err *err)
{
    bool regex;
    const cJSON *pre = tl_json_get(whole, "pre_tokenizer");
    if (!tl_bpe_check_model(whole, "", "RoBERTa", err) || !tl_json_bool(pre, "use_regex", true, &regex, err))
        return false;
    bool plain = regex && !tl_json_get(whole, "normalizer") && !tl_bpe_names_type(pre, "Split") &&
                 !tl_bpe_names_type(pre, "Sequence");
    return plain ||
           tl_err_set(err, TL_BAD_INPUT, "normalizer or pre_tokenizer is not that of a RoBERTa tokenizer");
}

/* Its texts are framed by cls and sep, which are bos and eos by another name. */
static bool open_into(struct tl_bpe *tok, const char *folder, struct tl_bpe_folder *f, struct tl_err *err)
{
    const struct tl_bpe_role roles[] = {{"cls_token", "<s>", &tok->bos},
                                        {"sep_token", "</s>", &tok->eos},
                                        {"unk_token", "<unk>", &tok->unk},
                                        {"pad_token", "<pad>", &tok->pad}};
    const struct tl_bpe_form form = {.most_merges = TL_BPE_MOST_MERGES,
                                     .check = check_whole,
                                     .roles = roles,
                                     .n_roles = sizeof roles / sizeof *roles};
    if (!tl_bpe_folder_open(f, folder, err)) return false;
    if (!check_config(tok, f->config, err))
        return tl_err_add(err, "%s", tl_bpe_folder_in(f, "tokenizer_config.json"));
    if (!tl_bpe_folder_read(tok, f, &form, err)) return false;
    /* the mask is special in RoBERTa's vocabularies whether or not a file says so; it takes spaces before it
     */
    return tl_bpe_find_text(tok, "<mask>") < 0 ||
           tl_bpe_add_special(tok, "<mask>", (struct tl_bpe_flags){.lstrip = true}, err);
}

struct tl_roberta_bpe *tl_roberta_bpe_open(const char *folder, struct tl_err *err)
{
    struct tl_bpe_folder f = {0};
    struct tl_roberta_bpe *tok = calloc(1, sizeof *tok);
    if (!tok) {
        tl_err_set(err, TL_FAIL, "out of memory for a tokenizer");
        return NULL;
    }
    tok->bpe = (struct tl_bpe){.word_end = "", .next_piece = next_piece};
    tl_bpe_init(&tok->bpe, MAX_LEN);
    if (!open_into(&tok->bpe, folder, &f, err)) tl_roberta_bpe_destroy(&tok);
    tl_bpe_folder_finish(&f);
    return tok;
}

void tl_roberta_bpe_destroy(struct tl_roberta_bpe **tok)
{
    if (!tok || !*tok) return;
    tl_bpe_finish(&(*tok)->bpe);
    free(*tok);
    *tok = NULL;
}

struct tl_bpe_info tl_roberta_bpe_info(const struct tl_roberta_bpe *tok)
{
    return tl_bpe_info_of(&tok->bpe);
}

/* ---- texts ---- */

bool tl_roberta_bpe_encode(const struct tl_roberta_bpe *tok, const char *text, size_t max_len,
                           int32_t *out_ids, size_t *out_used, size_t *out_cut, struct tl_str *out_cut_text,
                           struct tl_err *err)
{
    return tl_bpe_encode(&tok->bpe, text, max_len, out_ids, out_used, out_cut, out_cut_text, err);
}

bool tl_roberta_bpe_tokenize(const struct tl_roberta_bpe *tok, const char *text, struct tl_bpe_ids *out,
                             struct tl_err *err)
{
    return tl_bpe_tokenize(&tok->bpe, text, out, err);
}

void tl_roberta_bpe_decode(const struct tl_roberta_bpe *tok, const int32_t *ids, size_t n, struct tl_str *out)
{
    tl_bpe_decode(&tok->bpe, ids, n, out);
}
