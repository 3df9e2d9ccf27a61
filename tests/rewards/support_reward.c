#include "rewards/support_reward.h"

#include "io/file.h"
#include "support/check.h"

void support_reward_case_open(struct support_reward_case *c)
{
    struct tl_err err = {0};
    *c = (struct support_reward_case){0};
    c->json = tl_json_read(SUPPORT_REWARD_MODEL "/expected.json", &err);
    if (!c->json) fail_msg("%s", err.text);
    const cJSON *row;
    cJSON_ArrayForEach(row, tl_json_get(c->json, "rows"))
    {
        struct tl_str path = {0};
        struct tl_image *image = &c->image[c->n];
        tl_str_printf(&path, SUPPORT_REWARD_MODEL "/pictures/%s", tl_json_get(row, "file")->valuestring);
        check_ok(tl_image_load(path.data, image, &err), &err);
        tl_str_finish(&path);
        c->items[c->n] = (struct tl_reward_item){.name = tl_json_get(row, "file")->valuestring,
                                                 .prompt = tl_json_get(row, "caption")->valuestring,
                                                 .rgb = image->px,
                                                 .width = image->width,
                                                 .height = image->height};
        c->cosine[c->n++] = tl_json_get(row, "cosine")->valuedouble;
        assert_true(c->n <= SUPPORT_REWARD_MOST);
    }
    c->scale = exp(tl_json_get(c->json, "logit_scale")->valuedouble);
    assert_true(c->n >= 6);
}

void support_reward_case_close(struct support_reward_case *c)
{
    for (size_t i = 0; i < c->n; i++) tl_image_finish(&c->image[i]);
    cJSON_Delete(c->json);
}

struct tl_reward_set *support_reward_open(const char *spec, struct tl_device *device)
{
    struct tl_err err = {0};
    struct tl_reward_set *set = tl_reward_set_open(
        &(struct tl_reward_set_params){
            .specs = &spec, .n_specs = 1, .raw = true, .device = device, .device_name = "cpu", .threads = 1},
        &err);
    if (!set) fail_msg("%s: %s", spec, err.text);
    return set;
}

void support_reward_refused(const char *spec, enum tl_code code, const char *part)
{
    struct tl_err err = {0};
    struct tl_reward_set *set = tl_reward_set_open(
        &(struct tl_reward_set_params){.specs = &spec, .n_specs = 1, .device_name = "cpu", .threads = 1},
        &err);
    assert_null(set);
    if (err.code != code || !strstr(err.text, part)) fail_msg("%s: code %d, %s", spec, err.code, err.text);
}
