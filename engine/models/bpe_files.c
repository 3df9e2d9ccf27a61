/* Tokenizer folders, both forms. Nothing of the splitting rules is taken from tokenizer.json: a family has
 * its own, and a file that names others is refused by the family's check. */
#include "models/bpe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

const char *tl_bpe_folder_in(struct tl_bpe_folder *f, const char *name)
{
    const char *path = tl_path_join_in(&f->arena, f->path, name);
    return path ? path : name;
}

static bool read_optional(struct tl_bpe_folder *f, const char *name, cJSON **out, struct tl_err *err)
{
    const char *path = tl_bpe_folder_in(f, name);
    if (!tl_file_exists(path)) return true;
    *out = tl_json_read(path, err);
    if (*out && !cJSON_IsObject(*out)) return tl_err_set(err, TL_BAD_INPUT, "%s: not a JSON object", path);
    return *out != NULL;
}

/* ---- vocabulary and merges ---- */

static bool id_of(const cJSON *value, const char *token, int32_t *out, struct tl_err *err)
{
    double d = cJSON_IsNumber(value) ? value->valuedouble : -1;
    if (!(d >= 0 && d < TL_BPE_MOST_IDS && d == floor(d)))
        return tl_err_set(err, TL_BAD_INPUT, "token '%.60s': its id is no whole number from 0 to %d", token,
                          TL_BPE_MOST_IDS - 1);
    *out = (int32_t)d;
    return true;
}

static bool add_vocabulary(struct tl_bpe *tok, const cJSON *vocab, struct tl_err *err)
{
    if (!cJSON_IsObject(vocab) || !vocab->child)
        return tl_err_set(err, TL_BAD_INPUT, "the vocabulary is no object of tokens and ids, or empty");
    const cJSON *item;
    cJSON_ArrayForEach(item, vocab)
    {
        int32_t id = -1;
        if (!id_of(item, item->string, &id, err) || !tl_bpe_add_text(tok, item->string, id, err))
            return false;
    }
    tl_bpe_index_bytes(tok);
    return true;
}

/* "left right" cut at its one space, in place. */
static bool cut_pair(char *text, struct tl_bpe_pair *out)
{
    char *space = strchr(text, ' ');
    if (!space || space == text || space[1] == 0 || strchr(space + 1, ' ')) return false;
    *space = 0;
    *out = (struct tl_bpe_pair){text, space + 1};
    return true;
}

/* Cuts lines off a text in place. */
static char *next_line(char **at)
{
    char *line = *at, *end = line + strcspn(line, "\n");
    *at = *end ? end + 1 : end;
    if (end > line && end[-1] == '\r') end[-1] = 0;
    *end = 0;
    return line;
}

static size_t count_lines(const char *text)
{
    size_t n = 1;
    for (; *text; text++) n += *text == '\n';
    return n;
}

bool tl_bpe_read_merges(const char *path, size_t most, struct tl_arena *arena, struct tl_bpe_pair **out,
                        size_t *out_n, struct tl_err *err)
{
    size_t bytes, n = 0, line = 0;
    char *text = (char *)tl_file_read(path, TL_BPE_MOST_MERGES_BYTES, &bytes, err);
    if (!text) return false;
    char *own = tl_arena_copy(arena, text, bytes + 1); /* with its NUL */
    free(text);
    if (!own || strlen(own) != bytes)
        return own ? tl_err_set(err, TL_BAD_INPUT, "%s: has a NUL byte; not a merges file", path)
                   : tl_err_set(err, TL_FAIL, "%s: out of memory", path);
    size_t lines = count_lines(own);
    if (lines < most) most = lines;
    struct tl_bpe_pair *pairs = tl_arena_alloc(arena, most, sizeof *pairs);
    if (!pairs) return tl_err_set(err, TL_FAIL, "%s: out of memory", path);
    for (char *at = own; *at && n < most;) {
        char *row = next_line(&at);
        line++;
        if (row[0] == 0 || (line == 1 && strstr(row, "#version"))) continue;
        if (!cut_pair(row, &pairs[n]))
            return tl_err_set(err, TL_BAD_INPUT, "%s: line %zu is not 'left right': '%.60s'", path, line,
                              row);
        n++;
    }
    *out = pairs;
    *out_n = n;
    return true;
}

static bool add_merges_file(struct tl_bpe *tok, struct tl_bpe_folder *f, size_t most, struct tl_err *err)
{
    const char *path = tl_bpe_folder_in(f, "merges.txt");
    struct tl_bpe_pair *pairs;
    size_t n;
    if (!tl_bpe_read_merges(path, most, &f->arena, &pairs, &n, err)) return false;
    for (size_t i = 0; i < n; i++)
        if (!tl_bpe_add_merge(tok, pairs[i].left, pairs[i].right, err)) return tl_err_add(err, "%s", path);
    return true;
}

/* tokenizer.json has "left right" strings in older files, [left, right] in newer ones. */
static bool pair_of(struct tl_bpe_folder *f, const cJSON *row, struct tl_bpe_pair *out)
{
    if (cJSON_IsString(row)) {
        char *own = tl_arena_strdup(&f->arena, row->valuestring);
        return own && cut_pair(own, out);
    }
    if (cJSON_GetArraySize(row) != 2 || !cJSON_IsString(row->child) || !cJSON_IsString(row->child->next))
        return false;
    *out = (struct tl_bpe_pair){row->child->valuestring, row->child->next->valuestring};
    return true;
}

static bool add_merges_json(struct tl_bpe *tok, struct tl_bpe_folder *f, const cJSON *merges,
                            struct tl_err *err)
{
    if (!cJSON_IsArray(merges)) return tl_err_set(err, TL_BAD_INPUT, "model.merges is no list");
    size_t n = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, merges)
    {
        struct tl_bpe_pair pair;
        if (!pair_of(f, row, &pair))
            return tl_err_set(err, TL_BAD_INPUT,
                              "model.merges[%zu] is neither 'left right' nor [left, right]", n);
        if (!tl_bpe_add_merge(tok, pair.left, pair.right, err))
            return tl_err_add(err, "model.merges[%zu]", n);
        n++;
    }
    return true;
}

/* ---- special tokens ---- */

/* An added token with its id: in the vocabulary already, or beyond it. */
static bool add_added(struct tl_bpe *tok, const char *text, int32_t id, const cJSON *flags, bool normalized,
                      struct tl_err *err)
{
    bool single_word;
    struct tl_bpe_flags own = {0};
    if (!tl_json_bool(flags, "normalized", normalized, &own.normalized, err) ||
        !tl_json_bool(flags, "lstrip", false, &own.lstrip, err) ||
        !tl_json_bool(flags, "rstrip", false, &own.rstrip, err) ||
        !tl_json_bool(flags, "single_word", false, &single_word, err))
        return tl_err_add(err, "added token '%.60s'", text);
    if (single_word)
        return tl_err_set(err, TL_BAD_INPUT, "added token '%.60s': single_word true is not supported", text);
    int32_t known = tl_bpe_find_text(tok, text);
    if (known >= 0 && known != id)
        return tl_err_set(err, TL_BAD_INPUT, "added token '%.60s' has the ids %d and %d", text, (int)known,
                          (int)id);
    own.extra = known < 0;
    return (known >= 0 || tl_bpe_add_text(tok, text, id, err)) && tl_bpe_add_special(tok, text, own, err);
}

/* added_tokens_decoder of tokenizer_config.json: {"49406": {"content": ..., "normalized": ...}}. */
static bool add_decoder(struct tl_bpe *tok, const cJSON *decoder, struct tl_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, decoder)
    {
        char *end;
        long id = item->string ? strtol(item->string, &end, 10) : -1;
        const char *text;
        if (id < 0 || *end || id >= TL_BPE_MOST_IDS || !tl_json_string(item, "content", NULL, &text, err) ||
            !text)
            return tl_err_set(err, TL_BAD_INPUT,
                              "added_tokens_decoder: '%.20s' is no id with a token's content",
                              item->string ? item->string : "");
        if (!add_added(tok, text, (int32_t)id, item, false, err)) return false;
    }
    return true;
}

/* added_tokens.json: {"<word>": id}; added_tokens of tokenizer.json: a list of objects. */
static bool add_added_tokens(struct tl_bpe *tok, const cJSON *added, struct tl_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, added)
    {
        const char *text = item->string;
        int32_t id = -1;
        bool listed = cJSON_IsObject(item);
        if (listed && !tl_json_string(item, "content", NULL, &text, err)) return false;
        if (!text) return tl_err_set(err, TL_BAD_INPUT, "an added token has no content");
        if (!id_of(listed ? tl_json_get(item, "id") : item, text, &id, err) ||
            !add_added(tok, text, id, listed ? item : NULL, !listed, err))
            return false;
    }
    return true;
}

/* A token is named by a string or by an object with content and flags. */
static bool add_named(struct tl_bpe *tok, const cJSON *value, const char *fallback, int32_t *out,
                      struct tl_err *err)
{
    const char *text = fallback;
    struct tl_bpe_flags flags = {0};
    if (cJSON_IsString(value)) {
        text = value->valuestring;
    } else if (value && (!tl_json_string(value, "content", fallback, &text, err) ||
                         !tl_json_bool(value, "normalized", false, &flags.normalized, err) ||
                         !tl_json_bool(value, "lstrip", false, &flags.lstrip, err) ||
                         !tl_json_bool(value, "rstrip", false, &flags.rstrip, err))) {
        return false;
    }
    if (!tl_bpe_add_special(tok, text, flags, err)) return false;
    *out = tl_bpe_find_text(tok, text);
    return true;
}

/* special_tokens_map.json stands above tokenizer_config.json; unk: the model's own unknown token, or NULL. */
static bool add_roles(struct tl_bpe *tok, const struct tl_bpe_folder *f, const struct tl_bpe_form *form,
                      const char *unk, struct tl_err *err)
{
    for (size_t i = 0; i < form->n_roles; i++) {
        const struct tl_bpe_role *r = &form->roles[i];
        const cJSON *value = tl_json_get(f->map, r->key);
        if (!value) value = tl_json_get(f->config, r->key);
        const char *fallback = unk && strcmp(r->key, "unk_token") == 0 ? unk : r->fallback;
        if (!add_named(tok, value, fallback, r->id, err)) return tl_err_add(err, "%s", r->key);
    }
    return true;
}

/* ---- the two forms ---- */

static bool read_old(struct tl_bpe *tok, struct tl_bpe_folder *f, const struct tl_bpe_form *form,
                     struct tl_err *err)
{
    const char *path = tl_bpe_folder_in(f, "vocab.json");
    cJSON *vocab = tl_json_read(path, err);
    bool ok = vocab && (add_vocabulary(tok, vocab, err) || tl_err_add(err, "%s", path));
    cJSON_Delete(vocab);
    return ok && add_merges_file(tok, f, form->most_merges, err) &&
           read_optional(f, "added_tokens.json", &f->added, err) &&
           (add_decoder(tok, tl_json_get(f->config, "added_tokens_decoder"), err) ||
            tl_err_add(err, "%s", tl_bpe_folder_in(f, "tokenizer_config.json"))) &&
           (add_added_tokens(tok, f->added, err) ||
            tl_err_add(err, "%s", tl_bpe_folder_in(f, "added_tokens.json"))) &&
           (add_roles(tok, f, form, NULL, err) || tl_err_add(err, "%s", f->path));
}

/* Whether the tree names a step of this type ("Lowercase", "ByteLevel") somewhere. */
bool tl_bpe_names_type(const cJSON *tree, const char *type)
{
    const cJSON *item, *own = tl_json_get(tree, "type");
    if (cJSON_IsString(own) && strcmp(own->valuestring, type) == 0) return true;
    cJSON_ArrayForEach(item, tree)
    {
        if (tl_bpe_names_type(item, type)) return true;
    }
    return false;
}

bool tl_bpe_check_model(const cJSON *whole, const char *suffix, const char *whose, struct tl_err *err)
{
    const cJSON *model = tl_json_get(whole, "model");
    const char *type, *own, *prefix;
    bool fallback, ignore;
    if (!tl_json_string(model, "type", "BPE", &type, err) ||
        !tl_json_string(model, "end_of_word_suffix", "", &own, err) ||
        !tl_json_string(model, "continuing_subword_prefix", "", &prefix, err) ||
        !tl_json_bool(model, "byte_fallback", false, &fallback, err) ||
        !tl_json_bool(model, "ignore_merges", false, &ignore, err))
        return tl_err_add(err, "model");
    const struct {
        bool wrong;
        const char *name;
    } rows[] = {{strcmp(type, "BPE") != 0, "model.type"},
                {strcmp(own, suffix) != 0, "model.end_of_word_suffix"},
                {*prefix != 0, "model.continuing_subword_prefix"},
                {fallback, "model.byte_fallback"},
                {ignore, "model.ignore_merges"},
                {!tl_bpe_names_type(tl_json_get(whole, "pre_tokenizer"), "ByteLevel"), "pre_tokenizer"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].wrong)
            return tl_err_set(err, TL_BAD_INPUT, "%s is not that of a %s tokenizer", rows[i].name, whose);
    return true;
}

static bool read_new(struct tl_bpe *tok, struct tl_bpe_folder *f, const struct tl_bpe_form *form,
                     struct tl_err *err)
{
    const char *path = tl_bpe_folder_in(f, "tokenizer.json"), *unk;
    f->whole = tl_json_read(path, err);
    if (!f->whole) return false;
    const cJSON *model = tl_json_get(f->whole, "model");
    bool ok = form->check(f->whole, err) && add_vocabulary(tok, tl_json_get(model, "vocab"), err) &&
              add_merges_json(tok, f, tl_json_get(model, "merges"), err) &&
              add_added_tokens(tok, tl_json_get(f->whole, "added_tokens"), err) &&
              tl_json_string(model, "unk_token", NULL, &unk, err);
    if (!ok) return tl_err_add(err, "%s", path);
    return (add_decoder(tok, tl_json_get(f->config, "added_tokens_decoder"), err) &&
            add_roles(tok, f, form, unk, err)) ||
           tl_err_add(err, "%s", f->path);
}

bool tl_bpe_folder_read(struct tl_bpe *tok, struct tl_bpe_folder *f, const struct tl_bpe_form *form,
                        struct tl_err *err)
{
    if (tl_file_exists(tl_bpe_folder_in(f, "vocab.json")) &&
        tl_file_exists(tl_bpe_folder_in(f, "merges.txt")))
        return read_old(tok, f, form, err);
    if (tl_file_exists(tl_bpe_folder_in(f, "tokenizer.json"))) return read_new(tok, f, form, err);
    return tl_err_set(err, TL_BAD_INPUT,
                      "%s: no tokenizer there; needed: vocab.json and merges.txt, or tokenizer.json",
                      f->path);
}

bool tl_bpe_folder_open(struct tl_bpe_folder *f, const char *path, struct tl_err *err)
{
    *f = (struct tl_bpe_folder){.path = path};
    return read_optional(f, "tokenizer_config.json", &f->config, err) &&
           read_optional(f, "special_tokens_map.json", &f->map, err);
}

void tl_bpe_folder_finish(struct tl_bpe_folder *f)
{
    cJSON_Delete(f->config);
    cJSON_Delete(f->map);
    cJSON_Delete(f->added);
    cJSON_Delete(f->whole);
    tl_arena_finish(&f->arena);
}
