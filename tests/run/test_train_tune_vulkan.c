/* A short PRDP run on a Vulkan device: its losses and rewards are those of the cpu device, and it resumes
 * there to the same bytes. */
#include "support/check.h"
#include "support_folder.h"
#include "support_train.h"

#include <tiller/interrupt.h>

#include "tensor/device.h"

enum { EPOCHS = 2 };

static const char *place;

static int setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    support_prompts(support_path(place, "two.txt"), 2);
    return 0;
}

static struct support_train run_of(const char *name, const char *device)
{
    static char prompts[600], outs[4][600];
    static const char *const options[] = {"model=" SUPPORT_PIPELINE,
                                          prompts,
                                          "reward=clip:" SUPPORT_CLIP,
                                          "epochs=2",
                                          "prompts-per-epoch=2",
                                          "samples-per-prompt=3",
                                          "steps=3",
                                          "guidance=2",
                                          "minibatches=2",
                                          "passes=2",
                                          "eval-samples=2",
                                          "rank=2",
                                          "lr=0.003",
                                          "checkpoint-every=1",
                                          NULL};
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(prompts, sizeof prompts, "prompts=%s/two.txt", place);
    snprintf(outs[turn], sizeof outs[turn], "%s/%s", place, name);
    return (struct support_train){
        .method = "prdp", .options = options, .out = outs[turn], .device = device, .threads = 2, .seed = 3};
}

static void compare(const char *column, double tolerance)
{
    double cpu[EPOCHS], vulkan[EPOCHS];
    assert_int_equal(support_column(support_path(place, "cpu"), "train", column, cpu, EPOCHS), EPOCHS);
    assert_int_equal(support_column(support_path(place, "vulkan"), "train", column, vulkan, EPOCHS), EPOCHS);
    for (int i = 0; i < EPOCHS; i++) {
        printf("%s, epoch %d: cpu %.6f, vulkan %.6f\n", column, i + 1, cpu[i], vulkan[i]);
        check_near(vulkan[i], cpu[i], tolerance * fabs(cpu[i]));
    }
}

static void test_same_losses(void **state)
{
    (void)state;
    struct support_train cpu = run_of("cpu", "cpu"), vulkan = run_of("vulkan", "vulkan");
    support_train_ok(&cpu);
    support_train_ok(&vulkan);
    compare("first_loss", 1e-3);
    compare("loss", 1e-3);
    compare("reward_mean", 1e-4);
    double move[EPOCHS];
    support_column(vulkan.out, "train", "first_move", move, EPOCHS);
    for (int i = 0; i < EPOCHS; i++) assert_true(move[i] == 0); /* exactly, here too */
}

static void stop(void *user, const struct tl_progress *p)
{
    (void)user;
    if (p->done == 1) tl_interrupt_request();
}

static void test_resumes(void **state)
{
    (void)state;
    struct tl_err err = {0};
    struct support_train run = run_of("stopped", "vulkan");
    run.progress = stop;
    assert_int_equal(support_train(&run, &err), TL_INTERRUPTED);
    tl_interrupt_clear();
    run.progress = NULL;
    run.resume = true;
    support_train_ok(&run);
    support_same_metrics(support_path(place, "vulkan"), run.out);
    support_same_file(support_path(place, "vulkan/lora/pytorch_lora_weights.safetensors"),
                      support_path(place, "stopped/lora/pytorch_lora_weights.safetensors"));
}

int main(void)
{
    struct tl_err err = {0};
    struct tl_device *d = tl_device_open(&(struct tl_device_params){.name = "vulkan"}, &err);
    if (!d) check_skip(err.text);
    printf("device: %s\n", d->description);
    tl_device_close(&d);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_losses), cmocka_unit_test(test_resumes)};
    return cmocka_run_group_tests(tests, setup, support_folder_remove);
}
