/* One target, FUZZ_TARGET, for libFuzzer, which makes the mutants: of the files in the folder that it is
 * given. `fuzz TARGET --seeds` with FUZZ_SAVE set fills one. */
#include "fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct fuzz_pool pool = {0};
    target = fuzz_target_find(FUZZ_TARGET);
    fuzz_require(target);
    fuzz_scratch_open();
    atexit(fuzz_scratch_close);
    target->seed(target, &pool); /* it may make what the target needs */
    fuzz_pool_finish(&pool);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    target->run(target, data, n);
    return 0;
}
