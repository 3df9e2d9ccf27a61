/* Every component fixture of tests/fixtures (made by diffusers and transformers, see tests/reference) on
 * every device: outputs within relative L2 1e-4, gradients of the weights and inputs that the fixture names
 * within 1e-3. */
#include "support/check.h"

#include "base/str.h"
#include "io/file.h"
#include "models/forward.h"

#define FIXTURES TL_SOURCE_DIR "/tests/fixtures"

static struct tl_device *device;
static int n_checked;

static const float *find_item(const struct tl_forward_result *r, const char *name, size_t *out_n)
{
    for (int i = 0; i < r->n_items; i++)
        if (strcmp(r->items[i].name, name) == 0) {
            *out_n = 1;
            for (unsigned k = 0; k < r->items[i].rank; k++) *out_n *= r->items[i].shape[k];
            return r->items[i].data;
        }
    return NULL;
}

/* Relative L2 of one tensor of the file against ours. */
static double compare(const struct tl_st_tensor *t, const struct tl_forward_result *r, const char *name)
{
    struct tl_err err = {0};
    size_t n = 0;
    const float *ours = find_item(r, name, &n);
    if (!ours) return -1; /* of another method */
    if (n != t->n) fail_msg("%s has %zu values, the fixture %llu", name, n, (unsigned long long)t->n);
    float *theirs = malloc((n + 1) * sizeof *theirs);
    check_ok(tl_st_to_f32(t, theirs, &err), &err);
    double e = check_rel_l2(ours, theirs, n);
    free(theirs);
    return e;
}

static void check_method(const char *fixture, struct tl_component *c, const char *method,
                         const struct tl_st_file *io)
{
    struct tl_err err = {0};
    static const char *wrt[512];
    int n_wrt = 0;
    double worst_out = 0, worst_grad = 0;
    for (size_t i = 0; i < tl_st_count(io); i++) {
        const char *name = tl_st_at(io, i)->name;
        if (strncmp(name, "grad.", 5) != 0) continue;
        const char *what = name + 5;
        bool other_side = method && ((strcmp(method, "encode") == 0 &&
                                      (strncmp(what, "decoder.", 8) == 0 ||
                                       strncmp(what, "post_quant", 10) == 0 || strcmp(what, "z") == 0)) ||
                                     (strcmp(method, "decode") == 0 &&
                                      (strncmp(what, "encoder.", 8) == 0 ||
                                       strncmp(what, "quant_conv", 10) == 0 || strcmp(what, "sample") == 0)));
        if (!other_side) wrt[n_wrt++] = what;
    }
    struct tl_forward_call call = {.component = c,
                                   .method = method,
                                   .input = io,
                                   .cotangent = io,
                                   .cotangent_prefix = "cot.",
                                   .wrt = wrt,
                                   .n_wrt = n_wrt};
    struct tl_forward_result r;
    if (!tl_forward(&call, &r, &err)) fail_msg("%s %s: %s", fixture, method ? method : "", err.text);
    for (size_t i = 0; i < tl_st_count(io); i++) {
        const struct tl_st_tensor *t = tl_st_at(io, i);
        bool grad = strncmp(t->name, "grad.", 5) == 0;
        if (!grad && strncmp(t->name, "out.", 4) != 0) continue;
        double e = compare(t, &r, grad ? t->name : t->name + 4);
        if (e < 0) continue;
        if (e > (grad ? 1e-3 : 1e-4)) fail_msg("%s: %s: relative error %.3g", fixture, t->name, e);
        if (grad && e > worst_grad) worst_grad = e;
        if (!grad && e > worst_out) worst_out = e;
        n_checked++;
    }
    printf("%-24s %-8s outputs %.1e, gradients %.1e (%d)\n", fixture, method ? method : "", worst_out,
           worst_grad, n_wrt);
    tl_forward_result_finish(&r);
}

static void check_fixture(const char *name)
{
    struct tl_err err = {0};
    struct tl_str path = {0};
    tl_str_printf(&path, FIXTURES "/%s", name);
    struct tl_component *c = tl_component_open(device, path.data, &err);
    if (!c) fail_msg("%s: %s", name, err.text);
    tl_str_append(&path, "/io.safetensors");
    struct tl_st_file *io = tl_st_open(path.data, &err);
    if (!io) fail_msg("%s: %s", name, err.text);
    for (int m = 0; m < 3 && c->cls->methods[m].name; m++)
        check_method(name, c, c->cls->methods[1].name ? c->cls->methods[m].name : NULL, io);
    tl_st_close(&io);
    tl_component_close(&c);
    tl_str_finish(&path);
}

static void check_all(const char *device_name)
{
    struct tl_err err = {0};
    device = tl_device_open(&(struct tl_device_params){.name = device_name}, &err);
    if (!device && err.code == TL_DEVICE) {
        printf("skipped: %s\n", err.text);
        return;
    }
    if (!device) fail_msg("%s", err.text);
    printf("-- %s: %s\n", device->name, device->description);
    n_checked = 0;
    struct tl_arena arena = {0};
    const char *const *names;
    size_t n;
    check_ok(tl_file_list(FIXTURES, &arena, &names, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        char config[1024], io[1024];
        snprintf(config, sizeof config, FIXTURES "/%s/config.json", names[i]);
        snprintf(io, sizeof io, FIXTURES "/%s/io.safetensors", names[i]);
        if (tl_file_exists(config) && tl_file_exists(io)) check_fixture(names[i]);
    }
    assert_true(n_checked > 300);
    tl_arena_finish(&arena);
    tl_device_close(&device);
}

static void test_cpu(void **state)
{
    (void)state;
    check_all("cpu");
}

static void test_vulkan(void **state)
{
    (void)state;
    check_all("vulkan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_vulkan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
