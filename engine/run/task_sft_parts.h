/* Inside of the supervised fine-tuning task: what its files share. */
#ifndef TL_RUN_TASK_SFT_PARTS_H
#define TL_RUN_TASK_SFT_PARTS_H

#include "io/prompts.h"
#include "models/lora_start.h"
#include "run/caption_compose.h"
#include "run/dataset_batches.h"
#include "run/encoded_set.h"
#include "run/task_sft.h"
#include "tensor/exec.h"

/* A UNet's loss planned for one latent size. */
struct tl_sft_plan {
    int height, width;
    bool gradient; /* else the loss alone */
    struct tl_exec *exec;
    uint64_t used; /* a clock; the smallest goes first */
};

/* Plans are made when a size is first needed and kept while they fit into the larger of 1 GiB and twice the
 * largest one; then the least recently used goes. Weights are the stores', not the plans'. */
enum { TL_SFT_MOST_PLANS = 64 };
struct tl_sft_plans {
    struct tl_sft_plan list[TL_SFT_MOST_PLANS];
    int n;
    size_t bytes, largest; /* of the plans that are there; of any so far */
    uint64_t clock;
};

/* The text encoder, planned for a batch: forward, and where it is trained backward. */
struct tl_sft_text {
    struct tl_exec *forward, *backward;
    int32_t *ids;
    float *hidden; /* [batch][tokens][dim]: staging */
    bool told_cut; /* a caption was too long: said once */
};

struct tl_sft {
    struct tl_supervised_params p;
    const struct tl_job *job;
    struct tl_pipeline *pipeline;
    bool full; /* all weights; else a LoRA */
    struct tl_dataset data;
    struct tl_encoded_set set;
    struct tl_batches batches, held_out;
    struct tl_caption_params captions;
    bool live_texts;           /* encoded as they come: the encoder is trained, or captions are shuffled */
    struct tl_prompts prompts; /* of samples */
    double guidance;

    /* what is trained: one store for UNet and text encoder, whose names are distinct */
    struct tl_lora_start *start;
    struct tl_lora_spec own_spec[2];         /* UNet's and text encoder's, where `start` has none */
    const struct tl_lora_spec *spec[2];      /* in use; NULL: no LoRA there */
    struct tl_store_layout *joint;           /* owns; NULL where the UNet's own store is trained */
    struct tl_store *weights, *grads;        /* weights: own unless they are the UNet's */
    struct tl_store_layout *part_layouts[2]; /* LoRA: one component's each, for its files */

    struct tl_sft_plans plans;
    struct tl_sft_text text;
    size_t most_latent; /* floats of the largest sample */
    float *x, *target, *t, *weight, *context, *d_context, *noise, *rows;
    struct tl_str *texts;   /* [batch]: captions as they were composed */
    const char **text_list; /* [batch] */
};

enum { TL_SFT_UNET, TL_SFT_TEXT };
enum { TL_SFT_MOST_BATCH = 2048, TL_SFT_SAMPLE_BATCH = 8 };

/* ---- task_sft.c ---- */
/* The steps of opening that planning its memory takes, too. */
bool tl_sft_check(const struct tl_supervised_params *params, struct tl_err *err);
bool tl_sft_open_model(struct tl_sft *s, struct tl_device *device, struct tl_err *err);
bool tl_sft_open_data(struct tl_sft *s, struct tl_err *err); /* s->data, not encoded yet */
void tl_sft_destroy(void *s);

/* ---- task_sft_weights.c ---- */
/* Decides what is trained, makes `weights` and `grads`. */
bool tl_sft_make_weights(struct tl_sft *s, struct tl_err *err);
void tl_sft_free_weights(struct tl_sft *s);
double tl_sft_scale(const struct tl_sft *s, int part); /* of the part's LoRA */
/* Binds weights (NULL: the trained ones) and, where it has them, gradients to a plan of one part. */
bool tl_sft_bind(struct tl_sft *s, struct tl_exec *e, int part, struct tl_store *weights, bool gradient,
                 struct tl_err *err);
/* model/, or lora/ with both files, in the run's folder. */
bool tl_sft_save(void *self, struct tl_store *weights, const char *run_folder, struct tl_err *err);

/* ---- task_sft_plan.c ---- */
/* The plan of a size, made where it is not there; NULL: err. Valid until the next call. */
struct tl_exec *tl_sft_plan_get(struct tl_sft *s, int height, int width, bool gradient, struct tl_err *err);
void tl_sft_plans_finish(struct tl_sft_plans *plans);

/* ---- task_sft_text.c ---- */
bool tl_sft_text_init(struct tl_sft *s, struct tl_err *err);
void tl_sft_text_finish(struct tl_sft_text *text);
/* n texts, out [n][tokens][dim]. weights NULL: the trained ones. */
bool tl_sft_text_encode(struct tl_sft *s, const char *const *texts, size_t n, struct tl_store *weights,
                        float *out, struct tl_err *err);
/* Adds the gradient of sum(d_hidden * hidden) over a batch of texts to s->grads. */
bool tl_sft_text_gradient(struct tl_sft *s, const char *const *texts, const float *d_hidden,
                          struct tl_err *err);
/* Captions of the batch: into s->context, and where they are live into s->texts. `caption` NULL: empty. */
bool tl_sft_contexts(struct tl_sft *s, const int *pictures, const struct tl_rng_key *keys,
                     struct tl_store *weights, struct tl_err *err);

/* ---- task_sft_look.c ---- */
enum { TL_SFT_STRATA = 4 };
/* What it reports is never weighted: where the training loss is, it has the name of the training's mse. */
void tl_sft_validation_names(const struct tl_sft *s, const char *out[TL_TASK_METRICS]);
bool tl_sft_validate(void *self, struct tl_store *weights, double out[TL_TASK_METRICS], struct tl_err *err);
/* ---- task_sft_sample.c ---- */
bool tl_sft_sample(void *self, struct tl_store *weights, const char *folder, struct tl_err *err);

#endif
