/* Rewards that are programs, as long as all is well: the grammar, the messages, what a sample is as a file,
 * batches over several processes, sets, refusals. */
#include "rewards/support_exec.h"
#include "rewards/support_reward.h"
#include "support/check.h"

#include <unistd.h>

#include "io/file.h"
#include "io/sound.h"
#include "rewards/exec_media.h"
#include "rewards/exec_process.h"
#include "rewards/reward_exec.h"

/* ---- grammar ---- */

/* words: joined by '|'. */
static void check_words(const char *arg, const char *words)
{
    struct tl_err err = {0};
    struct tl_exec_spec spec;
    struct tl_str all = {0};
    check_ok(tl_exec_spec_parse(arg, &spec, &err), &err);
    for (size_t i = 0; i < spec.n_words; i++) tl_str_printf(&all, "%s%s", i ? "|" : "", spec.words[i]);
    assert_string_equal(all.data, words);
    assert_null(spec.words[spec.n_words]);
    tl_str_finish(&all);
    tl_exec_spec_finish(&spec);
}

static void check_refused(const char *arg, const char *part)
{
    struct tl_err err = {0};
    struct tl_exec_spec spec;
    assert_false(tl_exec_spec_parse(arg, &spec, &err));
    if (err.code != TL_USAGE || !strstr(err.text, part)) fail_msg("%s: %s", arg, err.text);
}

static void test_grammar(void **state)
{
    (void)state;
    check_words("./a.py", "./a.py");
    check_words("  a  b\tc ", "a|b|c");
    check_words("a 'b c' \"d  e\" f\\ g", "a|b c|d  e|f g");
    check_words("a '' \"\"", "a||");
    check_words("a \"x\\\"y\\\\z\\n\" 'x\\y'", "a|x\"y\\z\\n|x\\y");
    check_words("a'b'\"c\"d", "abcd");
    check_words("a --sizes 1,2,timeout=3", "a|--sizes|1,2");
    check_words("a '--opt=1,timeout=3'", "a|--opt=1,timeout=3");
    check_words("a x=1,y=2", "a|x=1,y=2");
    check_words("a --o=1,value=2 b", "a|--o=1,value=2|b");
    check_words("a '|' \\>", "a|||>");
    check_words("a,timeout=2,workers=3", "a");
    check_refused(NULL, "no program was named");
    check_refused(" ", "no program was named");
    check_refused(",timeout=3", "no program was named");
    check_refused("a 'b", "inside a quote");
    check_refused("a \\", "inside a quote");
    check_refused("a | b", "no shell runs");
    check_refused("a,worker=3", "did you mean workers");
    check_refused("a,workers=0", "from 1 to 16");
    check_refused("a,timeout=nan", "number");
    check_refused("a,start=1,start=2", "twice");
}

static void test_settings(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_exec_spec s;
    check_ok(tl_exec_spec_parse("a,timeout=0.5,workers=2,retries=0,start=7,memory=64,log=x.log", &s, &err),
             &err);
    check_near(s.timeout_s, 0.5, 0);
    check_near(s.start_s, 7, 0);
    assert_int_equal(s.workers, 2);
    assert_int_equal(s.retries, 0);
    assert_int_equal(s.memory, 64 << 20);
    assert_string_equal(s.log, "x.log");
    tl_exec_spec_finish(&s);
    check_ok(tl_exec_spec_parse("a", &s, &err), &err);
    check_near(s.timeout_s, 120, 0);
    check_near(s.start_s, 30, 0);
    assert_int_equal(s.workers, 1);
    assert_int_equal(s.retries, 3);
    check_ok(tl_exec_spec_find(&s, &err) || err.code == TL_USAGE, &err);
    tl_exec_spec_finish(&s);
    support_reward_refused("exec:no-such-program-anywhere", TL_USAGE, "in PATH");
    support_reward_refused("exec:" TL_SOURCE_DIR "/README.md", TL_USAGE, "make it executable");
    support_reward_refused("exec:true", TL_PLUGIN, "ended with exit status 0");
}

/* ---- messages ---- */

static void check_welcome(const char *line, const char *part)
{
    struct tl_err err = {0};
    struct tl_exec_about about;
    bool ok = tl_exec_read_welcome(line, strlen(line), &about, &err);
    if (ok != !part || (part && (err.code != TL_PLUGIN || !strstr(err.text, part))))
        fail_msg("%s: %s", line, err.text);
}

static void test_welcome(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_exec_about a;
    const char *line = "{\"version\":1,\"name\":\"n\"}";
    check_ok(tl_exec_read_welcome(line, strlen(line), &a, &err), &err);
    assert_true(a.image && !a.audio && a.score && !a.score_set && !a.deterministic && !a.needs_prompt);
    assert_int_equal(a.max_batch, TL_EXEC_USUAL_BATCH);
    assert_true(isinf(a.low) && isinf(a.high));
    line = "{\"name\":\"n\",\"version\":1,\"modalities\":[\"audio\",\"smell\"],\"kinds\":[\"score_set\"],"
           "\"max_batch\":1000000,\"range\":[null,3.5],\"needs_prompt\":true,\"deterministic\":true,\"more\":"
           "{}}";
    check_ok(tl_exec_read_welcome(line, strlen(line), &a, &err), &err);
    assert_true(!a.image && a.audio && !a.score && a.score_set && a.deterministic && a.needs_prompt);
    assert_int_equal(a.max_batch, TL_EXEC_MOST_BATCH);
    assert_true(isinf(a.low) && a.high == 3.5);
    check_welcome("", "no message");
    check_welcome("[1]", "no message");
    check_welcome("{\"name\":\"n\"}", "without a \"version\"");
    check_welcome("{\"version\":1}", "without a \"name\"");
    check_welcome("{\"version\":2,\"name\":\"n\"}", "speaks version 2");
    check_welcome("{\"version\":1,\"name\":7}", "name");
    check_welcome("{\"version\":1,\"name\":\"n\",\"max_batch\":0}", "max_batch 0");
    check_welcome("{\"version\":1,\"name\":\"n\",\"range\":[2,1]}", "range");
    check_welcome("{\"version\":1,\"name\":\"n\",\"modalities\":[\"smell\"]}", "takes none");
    check_welcome("{\"version\":1,\"name\":\"n\",\"transport\":[\"shm\"]}", "takes no files");
    check_welcome("{\"version\":1,\"name\":\"n\",\"deterministic\":1}", "deterministic");
    check_welcome("{\"error\":\"no GPU\"}", "no GPU");
}

static void check_reply(const char *line, const char *part)
{
    struct tl_err err = {0};
    struct tl_exec_reply reply;
    double x[2] = {NAN, NAN};
    bool ok = tl_exec_read_reply(line, strlen(line), 7, 2, x, &reply, &err);
    if (ok != !part || (part && (err.code != TL_PLUGIN || !strstr(err.text, part))))
        fail_msg("%s: %s", line, err.text);
    if (ok && !reply.is_error) assert_true(x[0] == 0.5 && x[1] == -2e3);
}

static void test_replies(void **state)
{
    (void)state;
    check_reply("{\"id\":7,\"scores\":[0.5,-2e3]}", NULL);
    check_reply("{\"scores\":[{\"score\":0.5,\"i\":0},{\"i\":1,\"score\":-2e3}],\"id\":7}", NULL);
    check_reply("{\"id\":7,\"error\":\"no\"}", NULL);
    check_reply("{\"id\":7,\"error\":{\"item\":1,\"retry\":true,\"text\":\"x\"}}", NULL);
    check_reply("{\"id\":7,\"scores\":[0.5]}", "1 scores, and 2 are due");
    check_reply("{\"id\":7,\"scores\":[1,2,3]}", "3 scores");
    check_reply("{\"id\":6,\"scores\":[1,2]}", "answers request 6");
    check_reply("{\"scores\":[1,2]}", "without an \"id\"");
    check_reply("{\"id\":7}", "no list");
    check_reply("{\"id\":7,\"scores\":[null,1]}", "not a finite number");
    check_reply("{\"id\":7,\"scores\":[\"1\",1]}", "not a finite number");
    check_reply("{\"id\":7,\"scores\":[NaN,1]}", "must be finite");
    check_reply("{\"id\":7,\"scores\":[1e999,1]}", "no message");
    check_reply("{\"id\":7,\"scores\":[{\"i\":1,\"score\":1},{\"i\":0,\"score\":1}]}", "out of order");
    check_reply("{\"id\":7,\"scores\":[1,2]} {}", "no message");
    check_reply("{\"id\":7,\"id\":7,\"scores\":[1,2]}", "no message");
    check_reply("{\"id\":7,\"error\":{\"item\":2}}", "refuses item 2");
    check_reply("{\"id\":7,\"error\":3}", "no object");
}

/* A request is JSON that says of each sample what it is, and no longer than was reckoned. */
static void test_request(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_str line = {0};
    struct tl_reward_item items[3];
    const float silence[4] = {0};
    support_exec_items(items, 3);
    items[1].prompt = NULL;
    items[2] = (struct tl_reward_item){
        .prompt = "\x01\xff", .samples = silence, .frames = 2, .channels = 2, .rate = 8000};
    tl_exec_request(&line, 5, "score", "/a \"b\"", items, 3);
    size_t most = 128;
    for (int i = 0; i < 3; i++) most += tl_exec_item_bytes("/a \"b\"", &items[i]);
    assert_true(line.len < most);
    cJSON *json = tl_json_parse(line.data, line.len, "request", &err);
    if (!json) fail_msg("%s", err.text);
    const cJSON *list = tl_json_get(json, "items"), *first = cJSON_GetArrayItem(list, 0);
    assert_int_equal(cJSON_GetArraySize(list), 3);
    assert_string_equal(tl_json_get(first, "path")->valuestring, "/a \"b\"/5-0000.png");
    assert_string_equal(tl_json_get(first, "prompt")->valuestring, items[0].prompt);
    assert_null(tl_json_get(cJSON_GetArrayItem(list, 1), "prompt"));
    assert_string_equal(tl_json_get(cJSON_GetArrayItem(list, 2), "path")->valuestring, "/a \"b\"/5-0002.wav");
    assert_true(tl_json_get(cJSON_GetArrayItem(list, 2), "rate")->valuedouble == 8000);
    cJSON_Delete(json);
    tl_str_finish(&line);
}

/* What is written is what was to be scored, bit by bit; and nothing stays. */
static void test_media(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_exec_media media;
    struct tl_reward_item items[3];
    float samples[6] = {0, 1.5f, -0.1f, 1e-9f, -3, 0.3f};
    support_exec_items(items, 3);
    items[2] = (struct tl_reward_item){.samples = samples, .frames = 3, .channels = 2, .rate = 44100};
    check_ok(tl_exec_media_open(&media, &err), &err);
    assert_int_equal(support_exec_folders(getpid()), 1);
    check_ok(tl_exec_media_write(&media, 9, items, 3, &err), &err);
    struct tl_str path = {0};
    struct tl_image image;
    struct tl_sound sound;
    tl_path_join(&path, media.folder, "9-0001.png");
    check_ok(tl_image_load(path.data, &image, &err), &err);
    assert_int_equal(image.width, 2);
    assert_memory_equal(image.px, items[1].rgb, 6);
    tl_path_join(&path, media.folder, "9-0002.wav");
    check_ok(tl_sound_load(path.data, &sound, &err), &err);
    assert_int_equal(sound.rate, 44100);
    assert_memory_equal(sound.samples, samples, sizeof samples);
    tl_exec_media_remove(&media, 9, 3);
    assert_false(tl_file_exists(path.data));
    samples[2] = NAN;
    assert_false(tl_exec_media_write(&media, 10, items, 3, &err));
    assert_true(strstr(err.text, "sample 2") != NULL);
    tl_exec_media_close(&media);
    assert_int_equal(support_exec_folders(getpid()), 0);
    tl_image_finish(&image);
    tl_sound_finish(&sound);
    tl_str_finish(&path);
}

#if !defined(__SANITIZE_ADDRESS__)
static long resident_mib(pid_t pid)
{
    char path[64];
    long size, resident = -1;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%ld %ld", &size, &resident) != 2) resident = -1;
    if (f) fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024) / 1024;
}

/* The keeper does not hold on to what we had in memory when it was forked, and does its work all the same. */
static void test_memory(void **state)
{
    (void)state;
    enum { MIB = 200 };
    struct tl_err err = {0};
    struct tl_exec_process p;
    char *const argv[] = {"cat", NULL};
    char *large = malloc((size_t)MIB << 20);
    memset(large, 1, (size_t)MIB << 20);
    FILE *log = tmpfile();
    const struct tl_exec_process_params params = {.program = "/bin/cat", .argv = argv, .log = fileno(log)};
    check_ok(tl_exec_process_start(&p, &params, &err), &err);
    for (int i = 0; i < 500 && resident_mib(p.keeper) > 64; i++) usleep(10000);
    assert_true(resident_mib(getpid()) >= MIB);
    assert_in_range(resident_mib(p.keeper), 0, 64);
    assert_true(large[12345678] == 1);
    assert_false(tl_exec_process_listen(&p));
    tl_exec_process_end(&p, 5);
    assert_true(p.has_ended);
    assert_int_equal(p.status, 0);
    fclose(log);
    free(large);
}
#endif

/* ---- scoring, by the program that answers with widths, at most 4 at a time ---- */

static struct tl_reward_set *open_width(const char *settings)
{
    char spec[512];
    snprintf(spec, sizeof spec, "exec:'%s'%s", EXEC_FAULT, settings);
    return support_reward_open(spec, NULL);
}

static struct tl_exec_counts counts_of(struct tl_reward_set *set)
{
    return tl_exec_crew_counts(tl_reward_exec_crew(tl_reward_set_part(set, 0)));
}

static void test_batches(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[SUPPORT_EXEC_MOST];
    double out[SUPPORT_EXEC_MOST];
    support_exec_items(items, SUPPORT_EXEC_MOST);
    for (int workers = 1; workers <= 3; workers += 2) {
        struct tl_reward_set *set = open_width(workers == 1 ? "" : ",workers=3");
        for (size_t n = 1; n <= SUPPORT_EXEC_MOST; n = 4 * n + (n == 4)) {
            check_ok(tl_reward_set_score(set, items, n, out, NULL, &err), &err);
            for (size_t i = 0; i < n; i++) check_near(out[i], (double)i + 1, 0);
        }
        assert_int_equal(counts_of(set).requests, 1 + 1 + 5);
        assert_int_equal(counts_of(set).restarts, 0);
        tl_reward_set_close(&set);
    }
    assert_int_equal(support_exec_folders(getpid()), 0);
}

static void test_about(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_about about;
    struct tl_reward_set *set = open_width(",timeout=9");
    check_ok(tl_reward_set_about(set, 0, &about, &err), &err);
    assert_string_equal(about.info->name, "exec");
    assert_string_equal(about.info->modality, "image");
    assert_true(about.info->deterministic && !about.info->needs_prompt && about.low == 0 &&
                isinf(about.high));
    assert_string_equal(about.variant, "width");
    assert_string_equal(about.encoder, EXEC_FAULT);
    assert_int_equal(strlen(about.sha256), 64);
    assert_string_equal(tl_reward_set_modality(set), "image");
    assert_false(tl_reward_set_needs_prompts(set));
    const float silence = 0;
    const struct tl_reward_item sound = {.samples = &silence, .frames = 1, .channels = 1, .rate = 8000};
    double x;
    assert_false(tl_reward_set_score(set, &sound, 1, &x, NULL, &err));
    assert_int_equal(err.code, TL_USAGE);
    tl_reward_set_close(&set);
}

/* Two batches at a time, collected the other way round; one that nobody collects. */
static void test_two_at_a_time(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[12];
    double x[12], y[12];
    support_exec_items(items, 12);
    struct tl_reward_set *set = open_width("");
    struct tl_reward_batch *a = tl_reward_set_submit(set, items, 6, &err),
                           *dropped = tl_reward_set_submit(set, items, 12, &err),
                           *b = tl_reward_set_submit(set, items + 6, 6, &err);
    if (!a || !b || !dropped) fail_msg("%s", err.text);
    check_ok(tl_reward_batch_collect(&b, y, NULL, &err), &err);
    tl_reward_batch_drop(&dropped);
    check_ok(tl_reward_batch_collect(&a, x, NULL, &err), &err);
    for (int i = 0; i < 6; i++) assert_true(x[i] == i + 1 && y[i] == i + 7);
    a = tl_reward_set_submit(set, items, 12, &err);
    tl_reward_batch_drop(&a); /* its first request is out */
    check_ok(tl_reward_set_score(set, items + 3, 2, x, NULL, &err), &err);
    assert_true(x[0] == 4 && x[1] == 5);
    assert_int_equal(counts_of(set).restarts, 0);
    tl_reward_set_close(&set);
}

static void test_set(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[10];
    double out[10], parts[20];
    support_exec_items(items, 10);
    const char *const specs[] = {"exec-set:" EXEC_FAULT, "exec:" EXEC_FAULT "@2"};
    struct tl_reward_set *set =
        tl_reward_set_open(&(struct tl_reward_set_params){.specs = specs, .n_specs = 2, .raw = true}, &err);
    if (!set) fail_msg("%s", err.text);
    check_ok(tl_reward_set_score(set, items, 10, out, parts, &err), &err);
    for (int i = 0; i < 10; i++)
        assert_true(parts[2 * i] == 55 && parts[2 * i + 1] == i + 1 && out[i] == 55 + 2 * (i + 1));
    tl_reward_set_close(&set);
    support_reward_refused("exec-set:" TL_SOURCE_DIR "/tools/rewards/brightness.sh", TL_PLUGIN, "score_set");
}

static void test_ensemble(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[3];
    double out[3];
    support_exec_items(items, 3);
    struct tl_reward_set *set = support_reward_open(
        "ensemble:min:exec:" EXEC_FAULT ",timeout=9+jpeg+exec:" EXEC_FAULT " 'a@2'@3", NULL);
    assert_int_equal(tl_reward_set_count(set), 3);
    check_ok(tl_reward_set_score(set, items, 3, out, NULL, &err), &err);
    for (int i = 0; i < 3; i++) assert_true(out[i] < 0); /* jpeg's */
    tl_reward_set_close(&set);
}

/* The program's own errors: of a sample, and passing ones. */
static void test_refusals(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_reward_item items[2];
    double out[2] = {NAN, NAN};
    support_exec_items(items, 2);
    struct tl_reward_set *set = open_width(",retries=1");
    items[1].prompt = "refuse me";
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_true(strstr(err.text, "sample 1: the program says: I do not like it") != NULL);
    assert_int_equal(counts_of(set).retries, 0);
    tl_err_clear(&err);
    items[1].prompt = "later";
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_PLUGIN);
    assert_true(strstr(err.text, "tried 2 times") != NULL);
    assert_int_equal(counts_of(set).retries, 1);
    assert_int_equal(counts_of(set).restarts, 0);
    assert_true(isnan(out[0]) && isnan(out[1]));
    tl_err_clear(&err);
    char *endless = calloc(1, TL_EXEC_MOST_LINE + 1);
    memset(endless, 'x', TL_EXEC_MOST_LINE);
    items[1].prompt = endless;
    assert_false(tl_reward_set_score(set, items, 2, out, NULL, &err));
    assert_int_equal(err.code, TL_BAD_INPUT);
    assert_true(strstr(err.text, "too long") != NULL);
    free(endless);
    items[1].prompt = NULL;
    tl_err_clear(&err);
    check_ok(tl_reward_set_score(set, items, 2, out, NULL, &err), &err);
    assert_true(out[0] == 1 && out[1] == 2);
    tl_reward_set_close(&set);
}

/* The shipped one in shell, against the pictures' own bytes. */
static void test_brightness(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct support_reward_case c;
    double out[SUPPORT_REWARD_MOST];
    support_reward_case_open(&c);
    struct tl_reward_set *set =
        support_reward_open("exec:" TL_SOURCE_DIR "/tools/rewards/brightness.sh", NULL);
    check_ok(tl_reward_set_score(set, c.items, 3, out, NULL, &err), &err);
    for (int k = 0; k < 3; k++) {
        size_t n = (size_t)c.image[k].width * (size_t)c.image[k].height * 3;
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += c.image[k].px[i];
        check_near(out[k], sum / (double)n, 1e-6);
    }
    tl_reward_set_close(&set);
    support_reward_case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_welcome),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_media),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_about),
        cmocka_unit_test(test_two_at_a_time),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_brightness),
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(test_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
