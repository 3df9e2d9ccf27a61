/* Encoded sets, with and without a cache of latents: the same moments; what has changed is encoded anew, what
 * is broken is told. */
#include "support/check.h"
#include "support_data.h"
#include "support_folder.h"
#include "support_train.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tiller/interrupt.h>

#include "run/encoded_set.h"
#include "run/latent_cache.h"
#include "sample/latents.h"

static const char *place;
static struct tl_device *device;
static struct tl_pipeline *pipeline;

static int setup(void **state)
{
    struct tl_err err = {0};
    if (support_folder_make(state)) return -1;
    place = *state;
    device = tl_device_open(&(struct tl_device_params){.name = "cpu", .threads = 1}, &err);
    pipeline = device ? tl_pipeline_open(device, SUPPORT_PIPELINE, &err) : NULL;
    if (!pipeline) fail_msg("%s", err.text);
    return 0;
}

static int teardown(void **state)
{
    tl_pipeline_close(&pipeline);
    tl_device_close(&device);
    return support_folder_remove(state);
}

/* Two shapes, so two buckets; more than one group of 16 in one of them, and two files of the same bytes. */
static void make_pictures(const char *name)
{
    for (int i = 0; i < 18; i++)
        support_picture(support_path(place, "%s/square%02d.png", name, i), 16, 16,
                        (uint8_t)(60 + 10 * (i % 17)));
    for (int i = 0; i < 3; i++)
        support_picture(support_path(place, "%s/tall%d.png", name, i), 20, 55, (uint8_t)(200 - 40 * i));
}

static struct tl_dataset data_of(const char *name)
{
    struct tl_err err = {0};
    struct tl_dataset d;
    static char folder[600];
    snprintf(folder, sizeof folder, "%s/%s", place, name);
    check_ok(tl_dataset_open(
                 &(struct tl_dataset_params){
                     .folder = folder, .fit = TL_FIT_BUCKET, .area_side = 16, .bucket_step = 4},
                 &d, &err),
             &err);
    return d;
}

/* Keeps the cache's path. */
static struct tl_encoded_params params_of(const char *cache, bool flips)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", place, cache ? cache : "");
    return (struct tl_encoded_params){.cache = cache ? path : NULL, .flips = flips, .no_captions = true};
}

static struct tl_encoded_set encode(struct tl_dataset *d, struct tl_encoded_params p)
{
    struct tl_err err = {0};
    struct tl_encoded_set s;
    check_ok(tl_encoded_set_open(d, pipeline, &p, &s, &err), &err);
    return s;
}

static size_t bytes_of(const struct tl_encoded_set *s, int i)
{
    return (size_t)s->moments[i].height * (size_t)s->moments[i].width * 2 * (size_t)s->channels *
           sizeof(float);
}

static void check_same(const struct tl_encoded_set *a, const struct tl_encoded_set *b)
{
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        assert_int_equal(bytes_of(a, i), bytes_of(b, i));
        if (memcmp(a->moments[i].data, b->moments[i].data, bytes_of(a, i)) != 0)
            fail_msg("picture %d differs", i);
        assert_true(!a->moments[i].flipped == !b->moments[i].flipped);
        if (a->moments[i].flipped)
            assert_memory_equal(a->moments[i].flipped, b->moments[i].flipped, bytes_of(a, i));
    }
}

/* The one file in the cache. */
static const char *cache_file(const char *cache)
{
    const char *found = NULL;
    DIR *dir = opendir(support_path(place, "%s", cache));
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            assert_null(found);
            found = support_path(place, "%s/%s", cache, e->d_name);
        }
    closedir(dir);
    assert_non_null(found);
    return found;
}

static void test_hit_and_miss(void **state)
{
    (void)state;
    make_pictures("a");
    struct tl_dataset d = data_of("a");
    assert_int_equal(d.n_buckets, 2);
    struct tl_encoded_set plain = encode(&d, params_of(NULL, false)),
                          first = encode(&d, params_of("cache", false));
    assert_true(plain.height == 0 && plain.moments[0].height != plain.moments[plain.n - 1].height);
    assert_int_equal(first.n_read, 0);
    assert_null(first.made); /* it reads what it wrote */
    check_same(&plain, &first);
    struct tl_encoded_set second = encode(&d, params_of("cache", false));
    assert_int_equal(second.n_read, d.n);
    check_same(&plain, &second);
    tl_encoded_set_finish(&first);
    tl_encoded_set_finish(&second);
    tl_dataset_finish(&d);

    /* one changed, one new, one gone: two are encoded; the rest is read; all as without a cache */
    support_picture(support_path(place, "a/square04.png"), 16, 16, 7);
    support_picture(support_path(place, "a/square99.png"), 16, 16, 77);
    assert_int_equal(unlink(support_path(place, "a/tall1.png")), 0);
    d = data_of("a");
    second = encode(&d, params_of("cache", false));
    assert_int_equal(second.n_read, d.n - 2);
    tl_encoded_set_finish(&plain);
    plain = encode(&d, params_of(NULL, false));
    check_same(&plain, &second);
    tl_encoded_set_finish(&second);
    second = encode(&d, params_of("cache", false));
    assert_int_equal(second.n_read, d.n);
    check_same(&plain, &second);
    tl_encoded_set_finish(&second);
    tl_encoded_set_finish(&plain);
    tl_dataset_finish(&d);
}

/* The mirrored pictures are entries of their own: those of pictures that are mirrored on disk. */
static void test_flips(void **state)
{
    (void)state;
    struct tl_err err = {0};
    make_pictures("f");
    struct tl_dataset d = data_of("f");
    struct tl_encoded_set s = encode(&d, params_of("flips", false));
    tl_encoded_set_finish(&s);
    s = encode(&d, params_of("flips", true));
    assert_int_equal(s.n_read, d.n); /* the straight ones */
    struct tl_latent_codec *codec = tl_latent_codec_create(pipeline->vae, &err);
    for (int i = 0; i < d.n; i += d.n - 1) {
        const struct tl_moments *m = &s.moments[i];
        int f = tl_vae_factor(&pipeline->vae->config.vae), h = m->height * f, w = m->width * f;
        size_t n_z = bytes_of(&s, i) / 8, c = (size_t)s.channels;
        float *px = malloc((size_t)(h * w * 3) * sizeof *px), *mean = malloc(n_z * sizeof *mean),
              *logvar = malloc(n_z * sizeof *logvar), *stored = malloc(bytes_of(&s, i)),
              *noise = calloc(n_z, sizeof *noise), *z = malloc(n_z * sizeof *z),
              *z_flip = malloc(n_z * sizeof *z);
        check_ok(tl_dataset_read(&d, &i, 1, h, w, true, px, &err), &err);
        check_ok(tl_latent_codec_encode(codec, px, 1, h, w, mean, logvar, &err), &err);
        memcpy(stored, m->flipped, bytes_of(&s, i));
        for (size_t k = 0; k < n_z; k++)
            check_near((double)stored[k / c * 2 * c + k % c], (double)mean[k], 1e-4);
        tl_encoded_set_latent(&s, &pipeline->vae->config.vae, i, noise, z);
        tl_encoded_set_latent_of(&s, &pipeline->vae->config.vae, i, true, noise, z_flip);
        assert_memory_not_equal(z, z_flip, n_z * sizeof *z);
        check_near((double)z_flip[0],
                   (double)((mean[0] - pipeline->vae->config.vae.shift_factor) *
                            pipeline->vae->config.vae.scaling_factor),
                   1e-4);
        float *const all[] = {px, mean, logvar, stored, noise, z, z_flip};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
    }
    tl_latent_codec_destroy(&codec);
    struct tl_encoded_set again = encode(&d, params_of("flips", true));
    assert_int_equal(again.n_read, 2 * d.n);
    check_same(&s, &again);
    tl_encoded_set_finish(&s);
    tl_encoded_set_finish(&again);
    tl_dataset_finish(&d);
    /* a run without them that writes the file anew leaves them there */
    support_picture(support_path(place, "f/square99.png"), 16, 16, 77);
    d = data_of("f");
    s = encode(&d, params_of("flips", false));
    assert_int_equal(s.n_read, d.n - 1);
    tl_encoded_set_finish(&s);
    s = encode(&d, params_of("flips", true));
    assert_int_equal(s.n_read, 2 * d.n - 1);
    tl_encoded_set_finish(&s);
    tl_dataset_finish(&d);
}

static void damage(const char *path, long at, bool cut)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = getc(f);
    fseek(f, -1, SEEK_CUR);
    putc(c ^ 1, f);
    if (cut) assert_int_equal(ftruncate(fileno(f), 200), 0);
    fclose(f);
}

static void test_broken(void **state)
{
    (void)state;
    make_pictures("b");
    struct tl_dataset d = data_of("b");
    struct tl_encoded_set plain = encode(&d, params_of("broken", false)), s;
    tl_encoded_set_finish(&plain);
    plain = encode(&d, params_of(NULL, false));
    const struct {
        long at;
        bool cut;
        const char *says;
    } cases[] = {
        {-5, false, "not what was written"}, {9, true, "broken/latents-"}, {0, false, "broken/latents-"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        damage(cache_file("broken"), cases[i].at, cases[i].cut);
        support_log_start();
        s = encode(&d, params_of("broken", false));
        assert_int_equal(s.n_read, 0);
        assert_non_null(strstr(support_log(), cases[i].says));
        assert_non_null(strstr(support_log(), "encoded again"));
        check_same(&plain, &s);
        tl_encoded_set_finish(&s);
        s = encode(&d, params_of("broken", false)); /* whole again */
        assert_int_equal(s.n_read, d.n);
        tl_encoded_set_finish(&s);
    }
    /* a cache that cannot be written costs nothing but time */
    char path[600];
    snprintf(path, sizeof path, "%s", cache_file("broken"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    support_log_start();
    s = encode(&d, params_of("broken", false));
    assert_non_null(strstr(support_log(), "the latents are not kept"));
    assert_non_null(s.made);
    check_same(&plain, &s);
    tl_encoded_set_finish(&s);
    /* a folder that cannot be made is an error, and named */
    struct tl_err err = {0};
    support_write(support_path(place, "file"), "x");
    struct tl_encoded_params p = params_of("file/cache", false);
    assert_false(tl_encoded_set_open(&d, pipeline, &p, &s, &err));
    assert_true(err.code == TL_OUTPUT && strstr(err.text, "file"));
    tl_encoded_set_finish(&plain);
    tl_dataset_finish(&d);
}

/* Another VAE, another size: another file. */
static void test_keys(void **state)
{
    (void)state;
    struct tl_err err = {0};
    char a[65], b[65];
    make_pictures("k");
    struct tl_dataset d = data_of("k");
    check_ok(tl_latent_cache_key(pipeline->vae, &d, a, &err), &err);
    check_ok(tl_latent_cache_key(pipeline->vae, &d, b, &err), &err);
    assert_string_equal(a, b);
    d.params.area_side = 32;
    check_ok(tl_latent_cache_key(pipeline->vae, &d, b, &err), &err);
    assert_string_not_equal(a, b);
    d.params.area_side = 16;
    const struct tl_store_entry *e = &pipeline->vae->layout->entries[3];
    size_t n = (size_t)tl_shape_count(&e->shape);
    float *w = malloc(n * sizeof *w);
    check_ok(tl_store_read(pipeline->vae->store, e, w, &err), &err);
    w[0] += 1;
    check_ok(tl_store_write(pipeline->vae->store, e, w, &err), &err);
    check_ok(tl_latent_cache_key(pipeline->vae, &d, b, &err), &err);
    assert_string_not_equal(a, b);
    w[0] -= 1;
    check_ok(tl_store_write(pipeline->vae->store, e, w, &err), &err);
    free(w);
    tl_dataset_finish(&d);
}

static void stop_at_once(void *user, const struct tl_progress *p)
{
    int *seen = user;
    seen[0] = (int)p->done;
    seen[1] = (int)p->total;
    tl_interrupt_request();
}

/* Ctrl-C while pictures are encoded: what is done is kept. */
static void test_interrupted(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_encoded_set s;
    int seen[2] = {0};
    make_pictures("i");
    struct tl_dataset d = data_of("i");
    struct tl_encoded_params p = params_of("stopped", false);
    p.job = &(struct tl_job){.progress = stop_at_once, .user = seen};
    assert_false(tl_encoded_set_open(&d, pipeline, &p, &s, &err));
    tl_interrupt_clear();
    assert_int_equal(err.code, TL_INTERRUPTED);
    assert_true(seen[0] > 0 && seen[0] < d.n && seen[1] == d.n);
    p.job = NULL;
    s = encode(&d, p);
    assert_int_equal(s.n_read, seen[0]);
    struct tl_encoded_set plain = encode(&d, params_of(NULL, false));
    check_same(&plain, &s);
    tl_encoded_set_finish(&plain);
    tl_encoded_set_finish(&s);
    tl_dataset_finish(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hit_and_miss), cmocka_unit_test(test_flips),
                                       cmocka_unit_test(test_broken), cmocka_unit_test(test_keys),
                                       cmocka_unit_test(test_interrupted)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
