#include <string.h>

#include "fuzz/fuzz.h"

static const struct fuzz_target *const tables[] = {fuzz_images,     fuzz_sounds,  fuzz_tensors, fuzz_texts,
                                                   fuzz_tokenizers, fuzz_configs, fuzz_replies};

const struct fuzz_target *fuzz_target_at(size_t i)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (const struct fuzz_target *row = tables[t]; row->name; row++) {
            if (i-- == 0) return row;
        }
    }
    return NULL;
}

const struct fuzz_target *fuzz_target_find(const char *name)
{
    const struct fuzz_target *target;
    for (size_t i = 0; (target = fuzz_target_at(i)) != NULL; i++) {
        if (strcmp(target->name, name) == 0) return target;
    }
    return NULL;
}
