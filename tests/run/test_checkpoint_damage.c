/* Damaged checkpoints are seen and passed over. */
#include "support/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "run/checkpoint.h"
#include "support_checkpoint.h"
#include "support_folder.h"

static size_t file_bytes(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void flip(const char *path, size_t at, int mask)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)at, SEEK_SET);
    int byte = fgetc(f);
    fseek(f, (long)at, SEEK_SET);
    fputc(byte ^ mask, f);
    fclose(f);
}

static const char *const files[] = {"lora.safetensors", "lora_m.safetensors", "order.bin", "state.json",
                                    "manifest.json"};

/* Every file of the newest cut short, lengthened, missing, a folder, or with one bit changed at many places:
 * the older one is taken, and the log says what was wrong. */
static void test_damage(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "damage"));
    support_checkpoint_save(run, 1);
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            support_checkpoint_save(run, 2);
            const char *path = support_path(run, "checkpoints/step-00000002/%s", files[i]);
            if (kind == 0) assert_int_equal(truncate(path, (off_t)file_bytes(path) - 1), 0);
            if (kind == 1) support_write(path, "");
            if (kind >= 2) unlink(path);
            if (kind == 3) assert_int_equal(mkdir(path, 0777), 0);
            support_log_start();
            int64_t step = support_checkpoint_newest(run);
            bool harmless = kind == 0 && !strcmp(files[i], "manifest.json"); /* its last newline */
            if (step != (harmless ? 2 : 1)) fail_msg("kind %d, %s: step %d", kind, files[i], (int)step);
            if (!harmless && (!strstr(support_log(), "checkpoint step-00000002 skipped: ") ||
                              !strstr(support_log(), files[i])))
                fail_msg("kind %d, %s: log \"%s\"", kind, files[i], support_log());
            if (kind == 3) rmdir(path);
        }
    }
}

static void test_bits(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "bits"));
    support_checkpoint_save(run, 1);
    support_checkpoint_save(run, 2);
    for (size_t i = 0; i + 1 < sizeof files / sizeof *files; i++) {
        const char *path = support_path(run, "checkpoints/step-00000002/%s", files[i]);
        size_t n = file_bytes(path);
        for (size_t at = 0; at<n; at += n> 40 ? n / 37 : 1) {
            flip(path, at, 1 << at % 8);
            int64_t step = support_checkpoint_newest(run);
            if (step != 1) fail_msg("%s, byte %zu: step %d", files[i], at, (int)step);
            flip(path, at, 1 << at % 8);
        }
    }
    assert_int_equal(support_checkpoint_newest(run), 2); /* all mended */
    /* The manifest: each byte. Either it is seen, or what is loaded is right all the same (newest checks
     * every value). */
    char manifest[256];
    strcpy(manifest, support_path(run, "checkpoints/step-00000002/manifest.json"));
    size_t n = file_bytes(manifest), seen = 0;
    for (size_t at = 0; at < n; at++) {
        flip(manifest, at, 4);
        int64_t step = support_checkpoint_newest(run);
        assert_true(step == 1 || step == 2);
        seen += step == 1;
        flip(manifest, at, 4);
    }
    assert_true(seen > n / 2);
    /* None is left. */
    unlink(manifest);
    flip(support_path(run, "checkpoints/step-00000001/state.json"), 2, 1);
    struct tl_err err = {0};
    assert_null(tl_checkpoint_open_newest(run, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_non_null(strstr(err.text, "none of its 2 checkpoints can be used"));
}

/* A manifest that names files outside of its folder, or a checkpoint under another's name. */
static void test_manifest_lies(void **state)
{
    char run[128];
    strcpy(run, support_checkpoint_run(*state, "lies"));
    support_checkpoint_save(run, 1);
    static const char *const texts[] = {
        "{\"format\":1,\"step\":2,\"files\":[{\"name\":\"../../x\",\"bytes\":1,\"sha256\":\"\"}]}",
        "{\"format\":1,\"step\":2,\"files\":[{\"name\":\"a/b\",\"bytes\":1,\"sha256\":\"\"}]}",
        "{\"format\":2,\"step\":2,\"files\":[]}",
        "{\"format\":1,\"step\":2,\"files\":[]}", /* lists nothing: state.json is not vouched for */
        "{\"format\":1,\"step\":2}",
        "{\"format\":1,\"step\":-2,\"files\":[]}",
        "{\"format\":1,\"step\":2,\"files\":[3]}",
        "[]",
        "{",
        "",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        support_checkpoint_save(run, 2);
        support_write(support_path(run, "checkpoints/step-00000002/manifest.json"), texts[i]);
        if (support_checkpoint_newest(run) != 1) fail_msg("taken: %s", texts[i]);
    }
    support_checkpoint_save(run, 2);
    assert_int_equal(rename(support_path(run, "checkpoints/step-00000002"),
                            support_path(run, "checkpoints/step-00000005")),
                     0);
    support_log_start();
    assert_int_equal(support_checkpoint_newest(run), 1);
    assert_non_null(strstr(support_log(), "its manifest is of step-00000002"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_manifest_lies),
    };
    return cmocka_run_group_tests(tests, support_folder_make, support_folder_remove);
}
