/* Training runs as the program starts them, on drawn scenes and tiny models; comparing what they leave. */
#ifndef TL_TESTS_RUN_SUPPORT_TRAIN_H
#define TL_TESTS_RUN_SUPPORT_TRAIN_H

#include <tiller/train.h>

#define SUPPORT_PIPELINE TL_SOURCE_DIR "/tests/fixtures/pipeline_sd1"
#define SUPPORT_CLIP     TL_SOURCE_DIR "/tests/fixtures/clip_score"

/* `options` are "name=value", ended by NULL, and belong to the table of the method. */
struct support_train {
    const char *method;
    const char *const *options;
    const char *out;
    bool resume;
    int threads;        /* 0: 1 */
    const char *device; /* NULL: cpu */
    uint64_t seed;
    tl_progress_fn progress;
    void *user;
};

/* The code that the program would exit with. */
enum tl_code support_train(const struct support_train *run, struct tl_err *err);
/* Must succeed. */
void support_train_ok(const struct support_train *run);
/* Must fail with this code and say this. */
void support_train_fails(const struct support_train *run, enum tl_code code, const char *says);
/* The same run, asked to stop before it begins (one that trains from data: after its first step), again and
 * again until it is through; returns how many sessions it took. */
int support_train_stopping(struct support_train run);

/* 64x64 scenes with captions, negatives and 8x8 patch labels. */
void support_scenes(const char *folder, int n);
/* Captions of scenes that are not drawn, one a line. */
void support_prompts(const char *path, int n);
/* A CLIPModel's config for pictures of 16x16 with 8x8 patches. */
void support_clip_config(const char *path);
/* The small pipeline's files but for the UNet's weights. */
void support_bare_pipeline(const char *folder);

/* Column `name` of metrics.jsonl (phase NULL: any): how many values, the first `most` of them in out. */
size_t support_column(const char *run, const char *phase, const char *name, double *out, size_t most);

/* Same bytes: of files, of metrics.jsonl but for "time", of the newest checkpoints' files. */
void support_same_file(const char *a, const char *b);
bool support_is_same_file(const char *a, const char *b);
void support_same_metrics(const char *run_a, const char *run_b);
void support_same_checkpoint(const char *run_a, const char *run_b);
/* The newest checkpoint of a run, a folder. */
const char *support_newest_checkpoint(const char *run);

#endif
