#include "run/score_metrics.h"

#include <string.h>

#include "base/str.h"

static const struct tl_metric_way fid_ways[] = {
    {.is_input = true,
     .flavour = {"pytorch-fid",
                 "Inception's input by pytorch-fid's bilinear resize, which does not smooth: compares with "
                 "published FIDs, and reads large pictures as noisier than they are"},
     {{"inception", "resize=fid"}}},
    {.is_input = true,
     .flavour =
         {"clean",
          "clean-fid's input: resized with smoothing, in floats; in CLIP's space rows keep their length"},
     {{"inception", "resize=clean"}, {"clip", "unit=no,crop=torchvision"}}},
    {.is_input = true,
     .flavour = {"torchmetrics", "torchmetrics' input since it smooths: antialiased bilinear"},
     {{"inception", "resize=torchmetrics"}}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way kid_ways[] = {
    {.flavour = {"full", "all pairs of both sets, without bias: what the tools' subsets estimate"}},
    {.flavour =
         {"clean-fid",
          "mean over 100 random subsets of at most 1000 rows; clean-fid draws without a seed, so its own "
          "value differs from run to run"},
     {{"inception", "resize=clean"}}},
    {.flavour = {"torchmetrics", "mean over 100 random subsets of 1000 rows, which both sets must have"},
     {{"inception", "resize=torchmetrics"}}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way cmmd_ways[] = {
    {.flavour =
         {"paper",
          "Gaussian of width 10 on unit rows, with the diagonals, times 1000, as the paper and its code"}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way fad_ways[] = {
    {.flavour = {"symmetric", "all digits of both sets; resampled by soxr at its best"}},
    {.flavour =
         {"fadtk",
          "fadtk's input: its resampler, 16-bit samples, embeddings rounded to float16; with --inf its draws "
          "with replacement, which leave the bias in"},
     {{"vggish", "compat=fadtk"}, {"clap", "compat=fadtk"}}},
    {.flavour = {"kadtk", "kadtk's input"},
     {{"vggish", "compat=kadtk"}, {"panns", "compat=kadtk"}, {"clap", "compat=kadtk,crop=fadtk"}}},
    {.is_input = true,
     .flavour =
         {"gudgud96",
          "frechet-audio-distance's input: resampy; the tool answers -1 where it fails, and with CLAP cuts "
          "long sounds at random, which is not done here"},
     {{"vggish", "compat=gudgud96"}, {"panns", "compat=gudgud96"}, {"clap", "compat=gudgud96"}}},
    {.is_input = true,
     .flavour = {"google", "google-research's input: over the largest sample, windows that overlap by half"},
     {{"vggish", "compat=google"}}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way kad_ways[] = {
    {.flavour =
         {"paper",
          "bandwidth is the median distance within the reference, as the paper has it: values of several "
          "systems compare"}},
    {.flavour = {"kadtk", "kadtk's code takes the bandwidth from the evaluated set, against its paper (its "
                          "issue 9): values of "
                          "several systems do not compare; also its input"},
     {{"vggish", "compat=kadtk"}, {"panns", "compat=kadtk"}, {"clap", "compat=kadtk,crop=fadtk"}}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way vendi_ways[] = {
    {.flavour = {"cosine", "eigenvalues of the cosines of all pairs of files, each by the mean of its rows"}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way clip_ways[] = {
    {.flavour = {"cosine", "cosine of each pair, -1 to 1"}},
    {.flavour = {"clipscore", "2.5 times the cosine, 0 where it is negative"}},
    {.flavour = {"torchmetrics", "100 times the mean cosine, 0 where that is negative"}},
    {.flavour = {"logit", "the cosine times the model's logit scale"}},
    {.flavour =
         {"clip-score",
          "two folders only: logit; clip-score pairs files by their order and not by name, so one file too "
          "many pairs all "
          "behind it wrongly: here, too, if both folders have the same number; its crop is torchvision's"},
     {{"clip", "crop=torchvision"}}},
    {.flavour = {NULL, NULL}},
};

static const struct tl_metric_way clap_ways[] = {
    {.flavour = {"cosine", "cosine of each pair, -1 to 1"}},
    {.flavour = {"logit", "the cosine times the model's logit scale"}},
    {.flavour = {NULL, NULL}},
};

#define JACKKNIFE "jackknife over files"

const struct tl_metric tl_metrics[] = {
    {{.name = "fid",
      .help = "Frechet distance of pictures' embeddings: Inception's, or in CLIP's space",
      .modality = "image",
      .kind = TL_METRIC_TWO_SETS,
      .encoder_advice =
          "inception:FILE.pth (pytorch-fid's pt_inception-2015-12-05), or a CLIP model's folder",
      .interval = JACKKNIFE,
      .takes_statistics = true},
     fid_ways,
     TL_METRIC_INF | TL_METRIC_INDIV,
     tl_measure_frechet},
    {{.name = "kid",
      .help = "kernel distance of pictures' embeddings by a cubic kernel: without the bias of fid",
      .modality = "image",
      .kind = TL_METRIC_TWO_SETS,
      .encoder_advice = "inception:FILE.pth, or a CLIP model's folder",
      .interval = JACKKNIFE},
     kid_ways,
     0,
     tl_measure_kid},
    {{.name = "cmmd",
      .help = "kernel distance of pictures in CLIP's space by a Gaussian kernel",
      .modality = "image",
      .kind = TL_METRIC_TWO_SETS,
      .encoder_advice = "a CLIP model's folder (the paper: clip-vit-large-patch14-336)",
      .interval = JACKKNIFE},
     cmmd_ways,
     0,
     tl_measure_cmmd},
    {{.name = "fad",
      .help = "Frechet distance of sounds' embeddings",
      .modality = "audio",
      .kind = TL_METRIC_TWO_SETS,
      .encoder = "logmel",
      .encoder_advice =
          "vggish:FILE, a CLAP model's folder, panns:FILE; logmel needs no weights and compares with "
          "itself only",
      .interval = JACKKNIFE,
      .takes_statistics = true},
     fad_ways,
     TL_METRIC_INF | TL_METRIC_INDIV,
     tl_measure_frechet},
    {{.name = "kad",
      .help = "kernel distance of sounds' embeddings by a Gaussian kernel: without the bias of fad",
      .modality = "audio",
      .kind = TL_METRIC_TWO_SETS,
      .encoder = "logmel",
      .encoder_advice =
          "panns:FILE, vggish:FILE, a CLAP model's folder; logmel needs no weights and compares with "
          "itself only",
      .interval = JACKKNIFE},
     kad_ways,
     TL_METRIC_BANDWIDTH,
     tl_measure_kad},
    {{.name = "vendi",
      .help = "effective number of different items in a set, 1 to its size; grows with it, so compare equal "
              "sizes",
      .modality = "any",
      .kind = TL_METRIC_ONE_SET,
      .encoder_advice = "a CLIP or CLAP model's folder, inception:FILE, panns:FILE, or logmel",
      .interval = JACKKNIFE},
     vendi_ways,
     TL_METRIC_ORDER,
     tl_measure_vendi},
    {{.name = "clip",
      .help = "two folders of pictures: cosine of the pictures of the same name (one folder: its pictures "
              "and their prompts)",
      .modality = "image",
      .kind = TL_METRIC_OF_PAIRS,
      .encoder_advice = "a CLIP model's folder",
      .interval = "over pairs: Student's t below 20, else bootstrap"},
     clip_ways,
     0,
     tl_measure_similarity},
    {{.name = "clap",
      .help = "two folders of sounds: cosine of the sounds of the same name (one folder: its sounds and "
              "their prompts)",
      .modality = "audio",
      .kind = TL_METRIC_OF_PAIRS,
      .encoder_advice = "a CLAP model's folder",
      .interval = "over pairs: Student's t below 20, else bootstrap"},
     clap_ways,
     0,
     tl_measure_similarity},
    {{NULL}, NULL, 0, NULL},
};

const struct tl_metric_info *tl_metric_at(size_t i)
{
    enum { N = sizeof tl_metrics / sizeof *tl_metrics - 1 };
    return i < N ? &tl_metrics[i].info : NULL;
}

const struct tl_metric_flavour *tl_metric_flavour_at(size_t i, size_t k)
{
    const struct tl_metric_flavour *f = tl_metric_at(i) ? &tl_metrics[i].ways[0].flavour : NULL;
    for (size_t at = 0; f && at <= k; at++) {
        f = &tl_metrics[i].ways[at].flavour;
        if (!f->name) return NULL;
    }
    return f;
}

const char *tl_metric_kind_name(enum tl_metric_kind kind)
{
    static const char *const names[] = {"two sets", "one set", "mean over pairs"};
    return names[kind];
}

const struct tl_metric *tl_metric_find(const char *name, size_t n_folders)
{
    for (const struct tl_metric *m = tl_metrics; m->info.name; m++)
        if (strcmp(m->info.name, name) == 0)
            return m->info.kind == TL_METRIC_OF_PAIRS && n_folders < 2 ? NULL : m;
    return NULL;
}

const struct tl_metric_way *tl_metric_way_find(const struct tl_metric *metric, const char *name,
                                               struct tl_err *err)
{
    enum { MOST = 16 };
    const char *names[MOST];
    struct tl_str all = {0};
    size_t n = 0;
    for (const struct tl_metric_way *w = metric->ways; w->flavour.name && n < MOST; w++) {
        if (!name || strcmp(w->flavour.name, name) == 0) {
            tl_str_finish(&all);
            return w;
        }
        names[n++] = w->flavour.name;
        tl_str_printf(&all, "%s%s", n > 1 ? ", " : "", w->flavour.name);
    }
    const char *near = tl_str_nearest(name, names, n);
    tl_err_set(err, TL_USAGE, "%s has no flavour '%s'; %s%s%s", metric->info.name, name,
               near ? "did you mean " : "there are ",
               near       ? near
               : all.data ? all.data
                          : "none",
               near ? "?" : "");
    tl_str_finish(&all);
    return NULL;
}
