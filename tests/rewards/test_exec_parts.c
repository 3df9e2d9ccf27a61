/* Rewards that are programs, without a program: the grammar, the messages, what a sample is as a file. */
#include "rewards/support_exec.h"
#include "rewards/support_reward.h"
#include "support/check.h"

#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "io/sound.h"
#include "rewards/exec_log.h"
#include "rewards/exec_media.h"
#include "rewards/exec_protocol.h"
#include "rewards/exec_spec.h"

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
    check_words("a,log='b, c',timeout=\"2\"", "a");
    check_words("a b,log='c' d", "a|b,log=c|d");
    check_words("a ',log=b c'", "a|,log=b c");
    check_refused(NULL, "no program was named");
    check_refused(" ", "no program was named");
    check_refused(",timeout=3", "no program was named");
    check_refused("a 'b", "inside a quote");
    check_refused("a \\", "inside a quote");
    check_refused("a | b", "no shell runs");
    check_refused("a,worker=3", "did you mean workers");
    check_refused("a,workers=0", "from 1 to 16");
    check_refused("a,timeout=nan", "number");
    check_refused("a,workers=1.5", "whole number");
    check_refused("a,retries=2.7", "whole number");
    check_refused("a,log=''", "names no file");
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
    check_ok(tl_exec_spec_parse("a b,workers=2,log=\"x, y.log\"", &s, &err), &err);
    assert_string_equal(s.log, "x, y.log");
    assert_int_equal(s.workers, 2);
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
    support_reward_refused("exec:" TL_SOURCE_DIR "/tools", TL_USAGE, "is a folder");
    support_reward_refused("exec:./judge,log=a file", TL_USAGE, "',log=a' looks like a setting");
    support_reward_refused("exec:judge,log=a file", TL_USAGE, "looks like a setting");
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

/* What is too long is cut between characters, and all that fits of what is none stays. */
static void test_cut(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct tl_exec_reply reply;
    struct tl_str line = {0};
    char out[8];
    double x[2];
    tl_str_append(&line, "{\"id\":7,\"error\":\"x");
    for (int i = 0; i < 400; i++) tl_str_append(&line, "\xc3\xa9");
    tl_str_append(&line, "\"}");
    check_ok(tl_exec_read_reply(line.data, line.len, 7, 2, x, &reply, &err), &err);
    assert_int_equal(strlen(reply.text), 511);
    assert_memory_equal(reply.text + 509, "\xc3\xa9", 3);
    tl_str_finish(&line);
    tl_exec_log_copy(out, sizeof out, "abcde\xe2\x82\xac", 8);
    assert_string_equal(out, "abcde");
    tl_exec_log_copy(out, sizeof out,
                     "\xff"
                     "bcdefghi",
                     9);
    assert_string_equal(out, "\xff"
                             "bcdefg");
    tl_exec_log_copy(out, sizeof out, "abcdefg", 7);
    assert_string_equal(out, "abcdefg");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar), cmocka_unit_test(test_settings), cmocka_unit_test(test_welcome),
        cmocka_unit_test(test_replies), cmocka_unit_test(test_cut),      cmocka_unit_test(test_request),
        cmocka_unit_test(test_media),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
