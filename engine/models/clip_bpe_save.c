/* The old form of a tokenizer folder, which every version of transformers and every other program reads. */
#include <stdlib.h>

#include "io/file.h"
#include "io/json.h"
#include "models/clip_bpe_inner.h"

static bool write_text(const char *folder, const char *name, const struct tl_str *text, struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, name);
    bool ok = !text->failed && !path.failed ? tl_file_write(path.data, text->data, text->len, err)
                                            : tl_err_set(err, TL_FAIL, "%s: out of memory", name);
    tl_str_finish(&path);
    return ok;
}

static bool is_extra(const struct tl_bpe *tok, size_t id)
{
    const struct tl_bpe_special *s = tl_bpe_special_of(tok, (int32_t)id);
    return s && s->flags.extra;
}

/* {"token": id, ...} in the order of ids, of the tokens in the vocabulary proper or of the extra ones. */
static bool write_ids(const struct tl_bpe *tok, bool extra, const char *folder, const char *name,
                      struct tl_err *err)
{
    struct tl_str s = {0};
    const char *before = "{";
    for (size_t id = 0; id < tok->n_texts; id++) {
        if (!tok->texts[id] || is_extra(tok, id) != extra) continue;
        tl_str_append(&s, before);
        tl_json_quote(&s, tok->texts[id]);
        tl_str_printf(&s, ": %zu", id);
        before = ", ";
    }
    tl_str_append(&s, s.len ? "}\n" : "{}\n");
    bool ok = write_text(folder, name, &s, err);
    tl_str_finish(&s);
    return ok;
}

static bool write_merges(const struct tl_bpe *tok, const char *folder, struct tl_err *err)
{
    struct tl_str s = {0};
    tl_str_append(&s, "#version: 0.2\n"); /* without it transformers 5 takes line 1 for a merge */
    for (size_t i = 0; i < tok->n_merges; i++)
        tl_str_printf(&s, "%s %s\n", tok->texts[tok->merges[i].left], tok->texts[tok->merges[i].right]);
    bool ok = write_text(folder, "merges.txt", &s, err);
    tl_str_finish(&s);
    return ok;
}

/* A string, or the object that says "normalized" where that is not the reader's default. */
static bool put_token(cJSON *object, const char *key, const struct tl_bpe *tok, int32_t id)
{
    const struct tl_bpe_special *special = tl_bpe_special_of(tok, id);
    if (!special || !special->flags.normalized)
        return cJSON_AddStringToObject(object, key, tok->texts[id]) != NULL;
    cJSON *token = cJSON_AddObjectToObject(object, key);
    return token && cJSON_AddStringToObject(token, "content", tok->texts[id]) &&
           cJSON_AddBoolToObject(token, "lstrip", false) &&
           cJSON_AddBoolToObject(token, "normalized", true) &&
           cJSON_AddBoolToObject(token, "rstrip", false) &&
           cJSON_AddBoolToObject(token, "single_word", false);
}

static bool put_tokens(cJSON *object, const struct tl_bpe *tok)
{
    return put_token(object, "bos_token", tok, tok->bos) && put_token(object, "eos_token", tok, tok->eos) &&
           put_token(object, "pad_token", tok, tok->pad) && put_token(object, "unk_token", tok, tok->unk);
}

static bool put_config(cJSON *object, const struct tl_bpe *tok)
{
    return cJSON_AddBoolToObject(object, "add_prefix_space", false) &&
           cJSON_AddBoolToObject(object, "do_lower_case", true) &&
           cJSON_AddStringToObject(object, "errors", "replace") &&
           cJSON_AddNumberToObject(object, "model_max_length", (double)tok->max_len) &&
           put_tokens(object, tok) && cJSON_AddStringToObject(object, "tokenizer_class", "CLIPTokenizer");
}

static bool write_small(const struct tl_bpe *tok, const char *folder, const char *name,
                        bool (*put)(cJSON *object, const struct tl_bpe *tok), struct tl_err *err)
{
    struct tl_str path = {0};
    tl_path_join(&path, folder, name);
    cJSON *object = cJSON_CreateObject();
    bool ok = object && !path.failed && put(object, tok)
                  ? tl_json_write(path.data, object, err)
                  : tl_err_set(err, TL_FAIL, "%s: out of memory", name);
    cJSON_Delete(object);
    tl_str_finish(&path);
    return ok;
}

static bool has_extra(const struct tl_bpe *tok)
{
    for (size_t i = 0; i < tok->n_specials; i++)
        if (tok->specials[i].flags.extra) return true;
    return false;
}

bool tl_clip_bpe_save(const struct tl_clip_bpe *tokenizer, const char *folder, struct tl_err *err)
{
    const struct tl_bpe *tok = &tokenizer->bpe;
    return tl_file_make_folder(folder, err) && write_ids(tok, false, folder, "vocab.json", err) &&
           write_merges(tok, folder, err) &&
           (!has_extra(tok) || write_ids(tok, true, folder, "added_tokens.json", err)) &&
           write_small(tok, folder, "special_tokens_map.json", put_tokens, err) &&
           write_small(tok, folder, "tokenizer_config.json", put_config, err);
}
