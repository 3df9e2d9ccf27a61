#include "support_tune.h"

#include <stdio.h>
#include <string.h>

#include "support_folder.h"

static const char *place;

int support_tune_setup(void **state)
{
    if (support_folder_make(state)) return -1;
    place = *state;
    support_prompts(support_path(place, "two.txt"), 2);
    support_prompts(support_path(place, "four.txt"), 4);
    support_prompts(support_path(place, "one.txt"), 1);
    return 0;
}

struct support_train support_tune_run(const char *name, const char *const *more)
{
    static const char *list[4][32];
    static char prompts[4][600], outs[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    const char **o = list[turn];
    size_t n = 0;
    snprintf(prompts[turn], sizeof prompts[turn], "prompts=%s/two.txt", place);
    snprintf(outs[turn], sizeof outs[turn], "%s/%s", place, name);
    const char *const first[] = {"model=" SUPPORT_PIPELINE,
                                 prompts[turn],
                                 "epochs=2",
                                 "prompts-per-epoch=2",
                                 "samples-per-prompt=3",
                                 "steps=3",
                                 "guidance=1",
                                 "minibatches=2",
                                 "passes=1",
                                 "eval-samples=2",
                                 "rank=2",
                                 "lr=0.01"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) o[n++] = first[i];
    bool rewarded = false;
    for (; more && *more && n < 30; more++) {
        rewarded = rewarded || strncmp(*more, "reward=", 7) == 0;
        o[n++] = *more;
    }
    if (!rewarded) o[n++] = "reward=clip:" SUPPORT_CLIP;
    o[n] = NULL;
    return (struct support_train){.method = "prdp", .options = o, .out = outs[turn], .seed = 3};
}
