/* Tokenizer folders: reading both forms, writing the old one. Nothing of the splitting rules is taken from
 * tokenizer.json: they are CLIP's, and a file that names others is refused. */
#include "models/clip_bpe_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

/* The parsed files of one folder; config and map are NULL where the files are absent. */
struct folder {
    const char *path;
    struct tl_arena arena;
    cJSON *config, *map, *added,
        *whole; /* tokenizer_config, special_tokens_map, added_tokens, tokenizer .json */
};

static const char *in_folder(struct folder *f, const char *name)
{
    const char *path = tl_path_join_in(&f->arena, f->path, name);
    return path ? path : name;
}

static bool read_optional(struct folder *f, const char *name, cJSON **out, struct tl_err *err)
{
    const char *path = in_folder(f, name);
    if (!tl_file_exists(path)) return true;
    *out = tl_json_read(path, err);
    if (*out && !cJSON_IsObject(*out)) return tl_err_set(err, TL_BAD_INPUT, "%s: not a JSON object", path);
    return *out != NULL;
}

/* ---- vocabulary and merges ---- */

static bool id_of(const cJSON *value, const char *token, int32_t *out, struct tl_err *err)
{
    double d = cJSON_IsNumber(value) ? value->valuedouble : -1;
    if (!(d >= 0 && d < TL_CLIP_BPE_MOST_IDS && d == floor(d)))
        return tl_err_set(err, TL_BAD_INPUT, "token '%.60s': its id is no whole number from 0 to %d", token,
                          TL_CLIP_BPE_MOST_IDS - 1);
    *out = (int32_t)d;
    return true;
}

static bool add_vocabulary(struct tl_clip_bpe *tok, const cJSON *vocab, struct tl_err *err)
{
    if (!cJSON_IsObject(vocab) || !vocab->child)
        return tl_err_set(err, TL_BAD_INPUT, "the vocabulary is no object of tokens and ids, or empty");
    const cJSON *item;
    cJSON_ArrayForEach(item, vocab)
    {
        int32_t id = -1;
        if (!id_of(item, item->string, &id, err) || !tl_clip_bpe_add_text(tok, item->string, id, err))
            return false;
    }
    tl_clip_bpe_index_bytes(tok);
    return true;
}

/* "left right" cut at its one space, in place. */
static bool cut_pair(char *text, struct tl_clip_bpe_pair *out)
{
    char *space = strchr(text, ' ');
    if (!space || space == text || space[1] == 0 || strchr(space + 1, ' ')) return false;
    *space = 0;
    *out = (struct tl_clip_bpe_pair){text, space + 1};
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

bool tl_clip_bpe_read_merges(const char *path, struct tl_arena *arena, struct tl_clip_bpe_pair **out,
                             size_t *out_n, struct tl_err *err)
{
    size_t bytes, n = 0, line = 0;
    char *text = (char *)tl_file_read(path, TL_CLIP_BPE_MOST_MERGES_BYTES, &bytes, err);
    if (!text) return false;
    char *own = tl_arena_copy(arena, text, bytes + 1); /* with its NUL */
    free(text);
    if (!own || strlen(own) != bytes)
        return own ? tl_err_set(err, TL_BAD_INPUT, "%s: has a NUL byte; not a merges file", path)
                   : tl_err_set(err, TL_FAIL, "%s: out of memory", path);
    size_t most = count_lines(own) < TL_CLIP_BPE_MERGES ? count_lines(own) : TL_CLIP_BPE_MERGES;
    struct tl_clip_bpe_pair *pairs = tl_arena_alloc(arena, most, sizeof *pairs);
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

static bool add_merges_file(struct tl_clip_bpe *tok, struct folder *f, struct tl_err *err)
{
    const char *path = in_folder(f, "merges.txt");
    struct tl_clip_bpe_pair *pairs;
    size_t n;
    if (!tl_clip_bpe_read_merges(path, &f->arena, &pairs, &n, err)) return false;
    for (size_t i = 0; i < n; i++)
        if (!tl_clip_bpe_add_merge(tok, pairs[i].left, pairs[i].right, err))
            return tl_err_add(err, "%s", path);
    return true;
}

/* tokenizer.json has "left right" strings in older files, [left, right] in newer ones. */
static bool pair_of(struct folder *f, const cJSON *row, struct tl_clip_bpe_pair *out)
{
    if (cJSON_IsString(row)) {
        char *own = tl_arena_strdup(&f->arena, row->valuestring);
        return own && cut_pair(own, out);
    }
    if (cJSON_GetArraySize(row) != 2 || !cJSON_IsString(row->child) || !cJSON_IsString(row->child->next))
        return false;
    *out = (struct tl_clip_bpe_pair){row->child->valuestring, row->child->next->valuestring};
    return true;
}

static bool add_merges_json(struct tl_clip_bpe *tok, struct folder *f, const cJSON *merges,
                            struct tl_err *err)
{
    if (!cJSON_IsArray(merges)) return tl_err_set(err, TL_BAD_INPUT, "model.merges is no list");
    size_t n = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, merges)
    {
        struct tl_clip_bpe_pair pair;
        if (!pair_of(f, row, &pair))
            return tl_err_set(err, TL_BAD_INPUT,
                              "model.merges[%zu] is neither 'left right' nor [left, right]", n);
        if (!tl_clip_bpe_add_merge(tok, pair.left, pair.right, err))
            return tl_err_add(err, "model.merges[%zu]", n);
        n++;
    }
    return true;
}

/* ---- special tokens ---- */

/* An added token with its id: in the vocabulary already, or beyond it. */
static bool add_added(struct tl_clip_bpe *tok, const char *text, int32_t id, const cJSON *flags,
                      bool normalized, struct tl_err *err)
{
    bool single_word;
    if (!tl_json_bool(flags, "normalized", normalized, &normalized, err) ||
        !tl_json_bool(flags, "single_word", false, &single_word, err))
        return tl_err_add(err, "added token '%.60s'", text);
    if (single_word)
        return tl_err_set(err, TL_BAD_INPUT, "added token '%.60s': single_word true is not supported", text);
    int32_t known = tl_clip_bpe_find_text(tok, text);
    if (known >= 0 && known != id)
        return tl_err_set(err, TL_BAD_INPUT, "added token '%.60s' has the ids %d and %d", text, (int)known,
                          (int)id);
    return (known >= 0 || tl_clip_bpe_add_text(tok, text, id, err)) &&
           tl_clip_bpe_add_special(tok, text, normalized, known < 0, err);
}

/* added_tokens_decoder of tokenizer_config.json: {"49406": {"content": ..., "normalized": ...}}. */
static bool add_decoder(struct tl_clip_bpe *tok, const cJSON *decoder, struct tl_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, decoder)
    {
        char *end;
        long id = item->string ? strtol(item->string, &end, 10) : -1;
        const char *text;
        if (id < 0 || *end || id >= TL_CLIP_BPE_MOST_IDS ||
            !tl_json_string(item, "content", NULL, &text, err) || !text)
            return tl_err_set(err, TL_BAD_INPUT,
                              "added_tokens_decoder: '%.20s' is no id with a token's content",
                              item->string ? item->string : "");
        if (!add_added(tok, text, (int32_t)id, item, false, err)) return false;
    }
    return true;
}

/* added_tokens.json: {"<word>": id}; added_tokens of tokenizer.json: a list of objects. */
static bool add_added_tokens(struct tl_clip_bpe *tok, const cJSON *added, struct tl_err *err)
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
static bool add_named(struct tl_clip_bpe *tok, const cJSON *value, const char *fallback, int32_t *out,
                      struct tl_err *err)
{
    const char *text = fallback;
    bool normalized = false;
    if (cJSON_IsString(value)) {
        text = value->valuestring;
    } else if (value && (!tl_json_string(value, "content", fallback, &text, err) ||
                         !tl_json_bool(value, "normalized", false, &normalized, err))) {
        return false;
    }
    if (!tl_clip_bpe_add_special(tok, text, normalized, false, err)) return false;
    *out = tl_clip_bpe_find_text(tok, text);
    return true;
}

/* special_tokens_map.json stands above tokenizer_config.json. */
static bool add_named_tokens(struct tl_clip_bpe *tok, const struct folder *f, const char *unk,
                             struct tl_err *err)
{
    const struct {
        const char *key, *fallback;
        int32_t *id;
    } rows[] = {{"bos_token", TL_CLIP_BPE_BOS, &tok->bos},
                {"eos_token", TL_CLIP_BPE_EOS, &tok->eos},
                {"unk_token", unk, &tok->unk},
                {"pad_token", TL_CLIP_BPE_EOS, &tok->pad}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const cJSON *value = tl_json_get(f->map, rows[i].key);
        if (!value) value = tl_json_get(f->config, rows[i].key);
        if (!add_named(tok, value, rows[i].fallback, rows[i].id, err))
            return tl_err_add(err, "%s", rows[i].key);
    }
    return true;
}

/* ---- the two forms ---- */

static bool check_config(struct tl_clip_bpe *tok, const cJSON *config, struct tl_err *err)
{
    bool lower;
    const char *class;
    double max_len;
    if (!tl_json_bool(config, "do_lower_case", true, &lower, err) ||
        !tl_json_string(config, "tokenizer_class", "CLIPTokenizer", &class, err) ||
        !tl_json_double(config, "model_max_length", TL_CLIP_BPE_MAX_LEN, &max_len, err))
        return false;
    if (!lower) return tl_err_set(err, TL_BAD_INPUT, "do_lower_case false is not supported");
    if (!strstr(class, "CLIP") && !strstr(class, "PreTrained") && strcmp(class, "TokenizersBackend") != 0)
        return tl_err_set(err, TL_BAD_INPUT, "tokenizer_class %.60s is not CLIP's", class);
    if (max_len >= 2 && max_len <= 1e6) tok->max_len = (size_t)max_len; /* "no limit" is written as 1e30 */
    return true;
}

static bool open_old(struct tl_clip_bpe *tok, struct folder *f, struct tl_err *err)
{
    const char *path = in_folder(f, "vocab.json");
    cJSON *vocab = tl_json_read(path, err);
    bool ok = vocab && (add_vocabulary(tok, vocab, err) || tl_err_add(err, "%s", path));
    cJSON_Delete(vocab);
    return ok && add_merges_file(tok, f, err) && read_optional(f, "added_tokens.json", &f->added, err) &&
           (add_decoder(tok, tl_json_get(f->config, "added_tokens_decoder"), err) ||
            tl_err_add(err, "%s", in_folder(f, "tokenizer_config.json"))) &&
           (add_added_tokens(tok, f->added, err) ||
            tl_err_add(err, "%s", in_folder(f, "added_tokens.json"))) &&
           (add_named_tokens(tok, f, TL_CLIP_BPE_EOS, err) || tl_err_add(err, "%s", f->path));
}

/* Whether the tree names a step of this type ("Lowercase", "ByteLevel") somewhere. */
static bool names_type(const cJSON *tree, const char *type)
{
    const cJSON *item, *own = tl_json_get(tree, "type");
    if (cJSON_IsString(own) && strcmp(own->valuestring, type) == 0) return true;
    cJSON_ArrayForEach(item, tree)
    {
        if (names_type(item, type)) return true;
    }
    return false;
}

static bool check_whole(const cJSON *whole, struct tl_err *err)
{
    const cJSON *model = tl_json_get(whole, "model");
    const char *type, *suffix, *prefix;
    bool fallback, ignore;
    if (!tl_json_string(model, "type", "BPE", &type, err) ||
        !tl_json_string(model, "end_of_word_suffix", "", &suffix, err) ||
        !tl_json_string(model, "continuing_subword_prefix", "", &prefix, err) ||
        !tl_json_bool(model, "byte_fallback", false, &fallback, err) ||
        !tl_json_bool(model, "ignore_merges", false, &ignore, err))
        return tl_err_add(err, "model");
    const struct {
        bool wrong;
        const char *name;
    } rows[] = {{strcmp(type, "BPE") != 0, "model.type"},
                {strcmp(suffix, TL_CLIP_BPE_WORD) != 0, "model.end_of_word_suffix"},
                {*prefix != 0, "model.continuing_subword_prefix"},
                {fallback, "model.byte_fallback"},
                {ignore, "model.ignore_merges"},
                {!names_type(tl_json_get(whole, "normalizer"), "Lowercase"), "normalizer"},
                {!names_type(tl_json_get(whole, "pre_tokenizer"), "ByteLevel"), "pre_tokenizer"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].wrong)
            return tl_err_set(err, TL_BAD_INPUT, "%s is not that of a CLIP tokenizer", rows[i].name);
    return true;
}

static bool open_new(struct tl_clip_bpe *tok, struct folder *f, struct tl_err *err)
{
    const char *path = in_folder(f, "tokenizer.json"), *unk;
    f->whole = tl_json_read(path, err);
    if (!f->whole) return false;
    const cJSON *model = tl_json_get(f->whole, "model");
    bool ok = check_whole(f->whole, err) && add_vocabulary(tok, tl_json_get(model, "vocab"), err) &&
              add_merges_json(tok, f, tl_json_get(model, "merges"), err) &&
              add_added_tokens(tok, tl_json_get(f->whole, "added_tokens"), err) &&
              tl_json_string(model, "unk_token", TL_CLIP_BPE_EOS, &unk, err);
    if (!ok) return tl_err_add(err, "%s", path);
    return add_decoder(tok, tl_json_get(f->config, "added_tokens_decoder"), err) &&
                   add_named_tokens(tok, f, unk, err)
               ? true
               : tl_err_add(err, "%s", f->path);
}

static bool open_any(struct tl_clip_bpe *tok, struct folder *f, struct tl_err *err)
{
    if (!read_optional(f, "tokenizer_config.json", &f->config, err) ||
        !read_optional(f, "special_tokens_map.json", &f->map, err))
        return false;
    if (!check_config(tok, f->config, err))
        return tl_err_add(err, "%s", in_folder(f, "tokenizer_config.json"));
    if (tl_file_exists(in_folder(f, "vocab.json")) && tl_file_exists(in_folder(f, "merges.txt")))
        return open_old(tok, f, err);
    if (tl_file_exists(in_folder(f, "tokenizer.json"))) return open_new(tok, f, err);
    return tl_err_set(err, TL_BAD_INPUT,
                      "%s: no tokenizer there; needed: vocab.json and merges.txt, or tokenizer.json",
                      f->path);
}

struct tl_clip_bpe *tl_clip_bpe_open(const char *folder, struct tl_err *err)
{
    struct folder f = {.path = folder};
    struct tl_clip_bpe *tok = tl_clip_bpe_new(err);
    if (tok && !open_any(tok, &f, err)) tl_clip_bpe_destroy(&tok);
    cJSON_Delete(f.config);
    cJSON_Delete(f.map);
    cJSON_Delete(f.added);
    cJSON_Delete(f.whole);
    tl_arena_finish(&f.arena);
    return tok;
}
