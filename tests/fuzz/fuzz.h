/* Mutated files through the loaders.
 *
 * A target is a loader with seeds: whole files that it takes. A mutant is made from (seed number, index)
 * alone, so any one can be made again without those before it. What a loader may do with a mutant: take it,
 * or fail with a code and a message; `fuzz_require` is for everything else, the sanitizers, the clock and the
 * memory limit see the rest.
 *
 *   fuzz_main.c     the program: workers, limits, what is told of a finding
 *   fuzz_mutate.c   mutants
 *   fuzz_repair.c   checksums of a mutant made right again, so that what is behind them is reached
 *   fuzz_pool.c     seeds, fixtures, scratch files
 *   target_*.c      the targets, a table each
 *   fuzz_libfuzzer.c  the same targets for libFuzzer */
#ifndef TL_TESTS_FUZZ_H
#define TL_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <tiller/err.h>

enum { FUZZ_MOST_BYTES = 1 << 18 }; /* of a mutant */

struct fuzz_bytes {
    uint8_t *data; /* owns */
    size_t n, size;
};
void fuzz_bytes_set(struct fuzz_bytes *bytes, const void *data, size_t n);
/* At `at`, so many bytes in place of `gone` ones; what does not fit is dropped. */
void fuzz_bytes_splice(struct fuzz_bytes *bytes, size_t at, size_t gone, const void *data, size_t n);
void fuzz_bytes_finish(struct fuzz_bytes *bytes);

struct fuzz_pool {
    struct fuzz_bytes *seeds; /* owns */
    size_t n;
};
void fuzz_pool_add(struct fuzz_pool *pool, const void *data, size_t n);
void fuzz_pool_add_text(struct fuzz_pool *pool, const char *text);
/* A file by its path, which must be there; one below tests/fixtures. */
void fuzz_pool_add_path(struct fuzz_pool *pool, const char *path);
void fuzz_pool_add_fixture(struct fuzz_pool *pool, const char *name);
void fuzz_pool_finish(struct fuzz_pool *pool);

struct fuzz_target {
    const char *name, *about;
    void (*seed)(const struct fuzz_target *target, struct fuzz_pool *pool);
    void (*run)(const struct fuzz_target *target, const uint8_t *data, size_t n);
    void (*repair)(struct fuzz_bytes *mutant); /* done to half of the mutants; may be NULL */
    const char *const *words;                  /* what mutants get inserted, ends at NULL; may be NULL */
    const char *const *names;                  /* the target's own: file names, extensions; ends at NULL */
};
extern const struct fuzz_target fuzz_images[], fuzz_sounds[], fuzz_tensors[], fuzz_texts[], fuzz_tokenizers[],
    fuzz_configs[], fuzz_replies[]; /* end at name NULL */
/* NULL at the end, and for an unknown name. */
const struct fuzz_target *fuzz_target_at(size_t i);
const struct fuzz_target *fuzz_target_find(const char *name);

void fuzz_mutant(const struct fuzz_target *target, const struct fuzz_pool *pool, uint64_t seed,
                 uint64_t index, struct fuzz_bytes *out);

/* ---- fuzz_repair.c ---- */
void fuzz_repair_png(struct fuzz_bytes *mutant);
void fuzz_repair_flac(struct fuzz_bytes *mutant);
void fuzz_repair_ogg(struct fuzz_bytes *mutant);
void fuzz_repair_zip(struct fuzz_bytes *mutant);
uint32_t fuzz_crc32(const uint8_t *data, size_t n); /* zip's and PNG's */

/* ---- scratch files ---- */
/* Makes the folder, in memory where the system has a place for that; removes it. */
void fuzz_scratch_open(void);
void fuzz_scratch_close(void);
/* Path of a name in it, valid until 8 calls later; the same with content; gone. */
const char *fuzz_scratch(const char *name);
const char *fuzz_scratch_put(const char *name, const void *data, size_t n);
void fuzz_scratch_remove(const char *name);
void fuzz_scratch_folder(const char *name); /* with its parents; one that is there is fine */

/* ---- what targets check ---- */
#define fuzz_require(wanted)                                                                                 \
    do {                                                                                                     \
        if (!(wanted)) {                                                                                     \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #wanted);                             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* A call that failed says TL_BAD_INPUT and why; one that did not says nothing. */
void fuzz_check_err(bool ok, const struct tl_err *err);
extern enum fuzz_outcome { FUZZ_NOT_SAID, FUZZ_TAKEN, FUZZ_REFUSED } fuzz_outcome; /* its first call's */
extern bool fuzz_talk; /* fuzz_check_err prints what came out, a line */
/* Reads all of it, so that a sanitizer sees bytes that are not there. */
void fuzz_touch(const void *data, size_t n);

#endif
