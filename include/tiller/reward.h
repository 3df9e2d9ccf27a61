/* Rewards: numbers that say how good a sample is, by name, alone or as a weighted sum.
 *
 * A reward is written NAME[:ARG][@WEIGHT]: "scene", "clip:encoders/shapes-clip",
 * "clip:FOLDER,flavour=logit@0.5". The weight is what stands behind the last '@' if that is a number (1
 * without one); ARG is the reward's own and its row says what it means. Several make a weighted sum; then
 * each is first standardised, (score - mean) / deviation, by numbers that the caller measures on samples of
 * the untouched model, unless `raw` is set.
 *
 * "ensemble:HOW:REWARD+REWARD" combines rewards by their mean, min, median or mean - K std. Its members are
 * parts of the set like any other reward, and are standardised before they are combined, for a min of
 * different scales would be the min of one member. So a set has terms, as they were named, and parts, as they
 * are scored: one a term, but for ensembles.
 *
 * Scores are taken from 8-bit pictures and from sounds as they stand in files, so that a sample's reward is
 * what `tiller score` says of its written file, and do not depend on the batch's company (but for float
 * rounding). A score that is not finite is TL_NUMERIC and names the sample; it never becomes 0. Not
 * thread-safe. */
#ifndef TILLER_REWARD_H
#define TILLER_REWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tiller/err.h>

enum tl_reward_kind {
    TL_REWARD_PER_ITEM,     /* a number for each sample by itself */
    TL_REWARD_TO_REFERENCE, /* a number for each sample, against a reference set that ARG names */
    TL_REWARD_OF_SET,       /* one number for all samples of a call together */
};

/* What the table says of a reward. */
struct tl_reward_info {
    const char *name;
    const char *help;     /* one clause */
    const char *argument; /* what ARG is: "FOLDER[,flavour=NAME]"; "" where there is none */
    const char *modality; /* "image", "audio": what a sample must be; "any": either. Of a row that is a program of
                             the user's "any": only the opened reward knows (tl_reward_about.info) */
    enum tl_reward_kind kind;
    bool needs_encoder; /* ARG names a model's folder */
    const char
        *encoder_key;   /* the setting of ARG that names it, ",encoder=FOLDER"; NULL: ARG begins with it */
    bool has_flavours;  /* ARG may have ",flavour=NAME" */
    bool needs_prompt;  /* reads the samples' prompts */
    bool has_gradient;  /* by the sample's pixels */
    bool deterministic; /* the same sample always gives the same score */
    double low, high;   /* range of the default variant; infinite where there is no limit */
};

/* Row i of the table; NULL behind the last. */
const struct tl_reward_info *tl_reward_at(size_t i);
const char *tl_reward_kind_name(enum tl_reward_kind kind); /* "per item", ... */

/* A sample. Everything is borrowed for the call. */
struct tl_reward_item {
    const char *name;   /* for messages: a file's name, "sample 12"; NULL: its number is said */
    const char *prompt; /* UTF-8; NULL: none, which a reward that reads prompts refuses */
    const uint8_t *rgb; /* [height][width][3], rows from the top */
    int width, height;
    const float *samples; /* [frames][channels] of a sound; NULL: a picture */
    size_t frames;
    int channels, rate; /* Hz */
    const char *sha256; /* 64 hex digits, of the file that it was decoded from; NULL: not known. Embeddings
                           are kept by it: files of one hash are one sample */
};

struct tl_device;
struct tl_embed_keep;
struct tl_reward_set;

struct tl_reward_set_params {
    const char *const *specs; /* NAME[:ARG][@WEIGHT] each; at least one */
    size_t n_specs;
    bool raw; /* sum the scores as they are */
    struct tl_device
        *device; /* borrowed, outlives the set; NULL: the set opens device_name if a reward needs one */
    const char *device_name; /* as in tl_job */
    int threads;
    const char *dtype; /* what encoders' weights are kept in: "f32" (also NULL), "f16", "bf16" */
    const struct tl_embed_keep *keep; /* where embeddings outlast the process (rewards/embed_keep.h);
                                         borrowed, outlives the set; NULL: nowhere */
};

/* Opens every reward: encoders are loaded here, each once for all sets that are open on the same device (by
 * real path and dtype), so sets on one device are used from one thread. TL_USAGE for names and arguments,
 * TL_BAD_INPUT for files. */
struct tl_reward_set *tl_reward_set_open(const struct tl_reward_set_params *params, struct tl_err *err);
void tl_reward_set_close(struct tl_reward_set **set);

size_t tl_reward_set_count(const struct tl_reward_set *set); /* its parts */
size_t tl_reward_set_count_terms(const struct tl_reward_set *set);
bool tl_reward_set_needs_prompts(const struct tl_reward_set *set); /* any part does */
/* What all parts take: "image", "audio", or "any". NULL where one takes pictures and another sounds. */
const char *tl_reward_set_modality(const struct tl_reward_set *set);
/* Whether a sample whose file has this SHA-256 can be scored without its pixels or samples: every part needs
 * its embedding only, and that is kept. May be called while another thread scores. */
bool tl_reward_set_knows(const struct tl_reward_set *set, const char *sha256);

/* What part k or term t is, for reports. A term of one part is that part; an ensemble's variant is its HOW,
 * and its range that of the members' scores as they are. Strings live as long as the set. */
struct tl_reward_about {
    const struct tl_reward_info *info;
    const char *spec; /* NAME[:ARG] */
    double weight;
    const char *variant;  /* "clipscore"; NULL where the reward has one only */
    const char *encoder;  /* folder; NULL without */
    char sha256[65];      /* of the encoder's weights, "" without: of the file, or of the files' hashes where
                             there are several. Without `keep` read anew at each call, which takes seconds for a
                             large model */
    const char *settings; /* how the encoder takes its input, in words; NULL without */
    double low, high;     /* range of this variant */
    size_t term;          /* that the part belongs to */
    size_t first, n;      /* the term's parts */
};
bool tl_reward_set_about(const struct tl_reward_set *set, size_t k, struct tl_reward_about *out,
                         struct tl_err *err);
bool tl_reward_set_about_term(const struct tl_reward_set *set, size_t t, struct tl_reward_about *out,
                              struct tl_err *err);

/* Scores n samples; those without pixels or samples have a hash that the set knows. out_total [n]: the
 * (standardised) weighted sum; with one part: weight times score. out_parts [n][count]: each reward's own
 * scores, unweighted, not standardised. Either may be NULL. A whole-set reward gives every sample of the call
 * the same number. A picture for a reward of sounds, or the other way round, is TL_USAGE and names the
 * sample. */
bool tl_reward_set_score(struct tl_reward_set *set, const struct tl_reward_item *items, size_t n,
                         double *out_total, double *out_parts, struct tl_err *err);

/* Embeddings of the samples, out [n][dim] of unit length, by the encoder of the first part that has one: for
 * measures of diversity. Samples that were just scored in the same order cost nothing again.
 * tl_reward_set_embed_dim is 0 where no part has an encoder of samples; then embedding is TL_USAGE. An
 * embedding that is not finite is TL_NUMERIC and names the sample. */
size_t tl_reward_set_embed_dim(const struct tl_reward_set *set);
bool tl_reward_set_embed(struct tl_reward_set *set, const struct tl_reward_item *items, size_t n, float *out,
                         struct tl_err *err);

/* Scoring in two steps, for rewards that work elsewhere meanwhile; the others do their work in submit. Items
 * stay valid until the batch is collected. Collect ends the batch, also on failure; drop ends it without
 * scores. Batches end before the set is closed. */
struct tl_reward_batch;
struct tl_reward_batch *tl_reward_set_submit(struct tl_reward_set *set, const struct tl_reward_item *items,
                                             size_t n, struct tl_err *err);
bool tl_reward_batch_collect(struct tl_reward_batch **batch, double *out_total, double *out_parts,
                             struct tl_err *err);
void tl_reward_batch_drop(struct tl_reward_batch **batch);

/* Standardisation of a sum. Totals of several parts fail (TL_FAIL) until one of the two setters was called,
 * unless `raw` is set; with one part nothing is needed. */
struct tl_reward_standard {
    double mean, deviation;
};
bool tl_reward_set_needs_standard(const struct tl_reward_set *set);
/* From scores out_parts [n][count] of samples of the untouched model, n at least 2. A part that never varies
 * is TL_NUMERIC: it has no scale. */
bool tl_reward_set_measure(struct tl_reward_set *set, const double *parts, size_t n, struct tl_err *err);
/* As kept from an earlier measure, [count]. */
bool tl_reward_set_standardise(struct tl_reward_set *set, const struct tl_reward_standard *standards,
                               struct tl_err *err);
/* [count], borrowed; NULL while there is none. */
const struct tl_reward_standard *tl_reward_set_standards(const struct tl_reward_set *set);

#endif
