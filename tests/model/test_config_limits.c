/* Configs that ask for more than any model has are refused before a graph is built of them. */
#include "models/component.h"

#include "io/json.h"
#include "support/check.h"

/* The fixture's config with one member (of `part` where that is given) changed; NULL or what parsing says. */
static const char *said(const char *fixture, const char *part, const char *key, const char *value)
{
    static struct tl_err err;
    char path[512];
    union tl_component_config config;
    tl_err_clear(&err);
    snprintf(path, sizeof path, "%s/tests/fixtures/%s/config.json", TL_SOURCE_DIR, fixture);
    cJSON *json = tl_json_read(path, &err), *new = tl_json_parse(value, strlen(value), "value", &err);
    assert_true(json && new);
    cJSON *object = part ? cJSON_GetObjectItemCaseSensitive(json, part) : json;
    assert_true(cJSON_ReplaceItemInObjectCaseSensitive(object, key, new));
    const struct tl_component_class *cls = tl_component_class_of(json, &err);
    check_ok(cls, &err);
    bool ok = cls->parse(json, &config, &err);
    struct tl_store_layout *layout = ok ? tl_component_layout(cls, &config, &err) : NULL;
    assert_true(!ok || layout);
    assert_true(ok || err.code == TL_BAD_INPUT);
    tl_store_layout_destroy(&layout);
    cJSON_Delete(json);
    return ok ? NULL : err.text;
}

static void test_layers(void **state)
{
    (void)state;
    static const struct {
        const char *fixture, *part, *key, *value, *says; /* NULL: fine */
    } rows[] = {
        {"unet_sd1", NULL, "transformer_layers_per_block", "64", NULL},
        {"unet_sd1", NULL, "transformer_layers_per_block", "65", "65 layers in a block; 1 to 64"},
        {"unet_sd1", NULL, "transformer_layers_per_block", "[1, 32768]", "32768 layers"},
        {"unet_sd1", NULL, "transformer_layers_per_block", "0", "not possible"},
        {"unet_sd1", NULL, "layers_per_block", "64", NULL},
        {"unet_sd1", NULL, "layers_per_block", "100000", "100000 layers"},
        {"clap_model", "audio_config", "depths", "[2, 18]", NULL},
        {"clap_model", "audio_config", "depths", "[2, 1024]", "depths: 1024 layers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = said(rows[i].fixture, rows[i].part, rows[i].key, rows[i].value);
        if (!rows[i].says && text) fail_msg("%s %s: %s", rows[i].key, rows[i].value, text);
        if (rows[i].says && (!text || !strstr(text, rows[i].says)))
            fail_msg("%s %s: \"%s\"", rows[i].key, rows[i].value, text ? text : "taken");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
