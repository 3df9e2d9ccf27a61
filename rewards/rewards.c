#include "rewards/rewards.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "rewards/spec.h"

const struct tl_reward_class *const tl_reward_classes[] = {
    &tl_reward_aesthetic,
    &tl_reward_clap,
    &tl_reward_clip,
    &tl_reward_clipping,
    &tl_reward_colour,
    &tl_reward_ensemble,
    &tl_reward_exec,
    &tl_reward_exec_set,
    &tl_reward_jpeg,
    &tl_reward_loudness,
    &tl_reward_scene,
    &tl_reward_silence,
    NULL,
};

const struct tl_reward_info *tl_reward_at(size_t i)
{
    enum { N = sizeof tl_reward_classes / sizeof *tl_reward_classes - 1 };
    return i < N ? &tl_reward_classes[i]->info : NULL;
}

const char *tl_reward_kind_name(enum tl_reward_kind kind)
{
    static const char *const names[] = {"per item", "against a reference", "of a set"};
    return names[kind];
}

enum { MOST_NAMES = 64 };

const struct tl_reward_class *tl_reward_class_find(const struct tl_reward_class *const *classes,
                                                   const char *name, struct tl_err *err)
{
    const char *names[MOST_NAMES] = {0};
    size_t n = 0;
    for (size_t i = 0; classes[i]; i++) {
        if (strcmp(classes[i]->info.name, name) == 0) return classes[i];
        if (n < MOST_NAMES) names[n++] = classes[i]->info.name;
    }
    const char *near = tl_str_nearest(name, names, n);
    if (near) {
        tl_err_set(err, TL_USAGE, "there is no reward '%s'; did you mean %s?", name, near);
        return NULL;
    }
    struct tl_str all = {0};
    for (size_t i = 0; i < n; i++) tl_str_printf(&all, "%s%s", i ? ", " : "", names[i]);
    tl_err_set(err, TL_USAGE, "there is no reward '%s'; there are %s", name, all.data ? all.data : "none");
    tl_str_finish(&all);
    return NULL;
}

bool tl_reward_spec_parse(const char *text, struct tl_reward_spec *out, struct tl_err *err)
{
    *out = (struct tl_reward_spec){.weight = 1};
    const char *end = strrchr(text, '@');
    if (!end || !tl_spec_number(end + 1, strlen(end + 1), &out->weight)) end = text + strlen(text);
    if (!isfinite(out->weight))
        return tl_err_set(err, TL_USAGE, "reward '%s': the weight is too large", text);
    const char *colon = memchr(text, ':', (size_t)(end - text));
    const char *name_end = colon ? colon : end;
    if (name_end == text)
        return tl_err_set(err, TL_USAGE, "reward '%s' has no name; write NAME[:ARG][@WEIGHT]", text);
    out->name = strndup(text, (size_t)(name_end - text));
    out->arg = colon ? strndup(colon + 1, (size_t)(end - colon - 1)) : NULL;
    if (out->name && (out->arg || !colon)) return true;
    tl_reward_spec_finish(out);
    return tl_err_set(err, TL_FAIL, "out of memory");
}

void tl_reward_spec_finish(struct tl_reward_spec *spec)
{
    free(spec->name);
    free(spec->arg);
    *spec = (struct tl_reward_spec){0};
}

bool tl_reward_item_err(const struct tl_reward_item *items, size_t i, struct tl_err *err)
{
    if (items[i].name) return tl_err_add(err, "%s", items[i].name);
    return tl_err_add(err, "sample %zu", i);
}

struct tl_sound tl_reward_item_sound(const struct tl_reward_item *item)
{
    return (struct tl_sound){
        .rate = item->rate,
        .channels = item->channels,
        .frames = item->frames,
        .samples = (float *)item->samples,
    };
}

const struct tl_reward_info *tl_reward_info_of(const struct tl_reward *reward)
{
    return reward->cls->info_of ? reward->cls->info_of(reward) : &reward->cls->info;
}

bool tl_reward_check_modality(const struct tl_reward *reward, const struct tl_reward_item *items, size_t n,
                              struct tl_err *err)
{
    const struct tl_reward_info *info = tl_reward_info_of(reward);
    bool wants_sound = info->modality && strcmp(info->modality, "audio") == 0;
    if (info->modality && strcmp(info->modality, "any") == 0) return true;
    for (size_t i = 0; i < n; i++) {
        bool is_sound = items[i].samples != NULL, is_hash = !items[i].rgb && !is_sound && items[i].sha256;
        if (is_sound == wants_sound || (is_hash && reward->cls->knows)) continue;
        tl_err_set(err, TL_USAGE, "this is a %s, and %s scores %ss", is_sound ? "sound" : "picture",
                   info->name, wants_sound ? "sound" : "picture");
        return tl_reward_item_err(items, i, err);
    }
    return true;
}
