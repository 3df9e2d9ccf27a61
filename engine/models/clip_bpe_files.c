/* CLIP's tokenizer folders: what their files must say. */
#include <string.h>

#include "io/json.h"
#include "models/clip_bpe_inner.h"

static bool check_config(struct tl_bpe *tok, const cJSON *config, struct tl_err *err)
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

static bool check_whole(const cJSON *whole, struct tl_err *err)
{
    if (!tl_bpe_check_model(whole, TL_CLIP_BPE_WORD, "CLIP", err)) return false;
    return tl_bpe_names_type(tl_json_get(whole, "normalizer"), "Lowercase") ||
           tl_err_set(err, TL_BAD_INPUT, "normalizer is not that of a CLIP tokenizer");
}

static bool open_into(struct tl_bpe *tok, const char *folder, struct tl_bpe_folder *f, struct tl_err *err)
{
    const struct tl_bpe_role roles[] = {{"bos_token", TL_CLIP_BPE_BOS, &tok->bos},
                                        {"eos_token", TL_CLIP_BPE_EOS, &tok->eos},
                                        {"unk_token", TL_CLIP_BPE_EOS, &tok->unk},
                                        {"pad_token", TL_CLIP_BPE_EOS, &tok->pad}};
    const struct tl_bpe_form form = {.most_merges = TL_CLIP_BPE_MERGES,
                                     .check = check_whole,
                                     .roles = roles,
                                     .n_roles = sizeof roles / sizeof *roles};
    if (!tl_bpe_folder_open(f, folder, err)) return false;
    if (!check_config(tok, f->config, err))
        return tl_err_add(err, "%s", tl_bpe_folder_in(f, "tokenizer_config.json"));
    return tl_bpe_folder_read(tok, f, &form, err);
}

struct tl_clip_bpe *tl_clip_bpe_open(const char *folder, struct tl_err *err)
{
    struct tl_bpe_folder f = {0};
    struct tl_bpe *tok = tl_clip_bpe_new(err);
    if (tok && !open_into(tok, folder, &f, err)) tl_clip_bpe_free(&tok);
    tl_bpe_folder_finish(&f);
    return tl_clip_bpe_of(tok);
}
