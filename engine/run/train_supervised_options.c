/* Options of the methods that train from data. */
#include "run/memory_plan.h"
#include "run/train_loop.h"
#include "run/train_methods.h"

static const char *const fits[] = {"crop", "bucket", NULL};

#define S struct tl_supervised_params
#define COMMON_OPTIONS(model_help, steps_, batch_, lr_, warmup_, beta2_, decay_, ema_)                       \
    TL_OPTION_STRING(S, data, 0, "data", NULL, "FOLDER",                                                     \
                     "pictures, with captions where the method reads them", TL_OPTION_PLACE),                \
        TL_OPTION_STRING(S, model, 0, "model", NULL, "FOLDER|FILE", model_help, TL_OPTION_PLACE),            \
        TL_OPTION_STRING(S, out, 'o', "out", NULL, "FOLDER", "the run", TL_OPTION_FREE),                     \
        TL_OPTION_INT(S, steps, 0, "steps", steps_, 0, 100000000, "N", "updates", TL_OPTION_FREE),           \
        TL_OPTION_INT(S, batch, 0, "batch", batch_, 1, 2048, "N", "pictures at a time"),                     \
        TL_OPTION_INT(S, size, 0, "size", "0", 0, 8192, "PIXELS",                                            \
                      "side that pictures are brought to; 0: the model's, else the first picture's"),        \
        TL_OPTION_REAL(S, lr, 0, "lr", lr_, 0, 10, "X", "learning rate"),                                    \
        TL_OPTION_ENUM(S, schedule, 0, "schedule", "cosine", tl_train_schedules, "of the learning rate"),    \
        TL_OPTION_INT(S, warmup, 0, "warmup", warmup_, 0, 1000000, "N", "steps of rising learning rate"),    \
        TL_OPTION_INT(S, cycles, 0, "cycles", "4", 1, 100000, "N", "of schedule restarts"),                  \
        TL_OPTION_REAL(S, power, 0, "power", "2", 0, 100, "X", "of schedule polynomial"),                    \
        TL_OPTION_REAL(S, beta1, 0, "beta1", "0.9", 0, 0.99999, "X", "AdamW"),                               \
        TL_OPTION_REAL(S, beta2, 0, "beta2", beta2_, 0, 0.99999, "X", "AdamW"),                              \
        TL_OPTION_REAL(S, adam_eps, 0, "adam-eps", "1e-8", 1e-30, 1, "X", "AdamW"),                          \
        TL_OPTION_REAL(S, weight_decay, 0, "weight-decay", decay_, 0, 10, "X", "AdamW"),                     \
        TL_OPTION_REAL(S, clip_norm, 0, "clip-norm", "1", 0, 1e9, "X",                                       \
                       "largest gradient norm; 0: no limit"),                                                \
        TL_OPTION_REAL(S, ema, 0, "ema", ema_, 0, 0.999999, "X",                                             \
                       "decay of the weights' moving average, which is what is saved; 0: none"),             \
        TL_OPTION_INT(S, log_every, 0, "log-every", "50", 1, 1000000, "STEPS", "rows of metrics.jsonl",      \
                      TL_OPTION_FREE),                                                                       \
        TL_OPTION_INT(S, save_every, 0, "save-every", "1000", 1, 10000000, "STEPS", "checkpoints",           \
                      TL_OPTION_FREE),                                                                       \
        TL_OPTION_BOOL(S, resume, 0, "resume", "false",                                                      \
                       "go on with a run: --resume FOLDER, with all that it was begun with",                 \
                       TL_OPTION_FREE),                                                                      \
        TL_OPTION_BOOL(S, strict, 0, "strict", "false", "an unreadable picture ends the run")
#define ACCUMULATE                                                                                           \
    TL_OPTION_INT(S, accumulate, 0, "accumulate", "1", 1, 65536, "N",                                        \
                  "batches whose mean gradient makes an update")

const struct tl_option tl_vae_options[] = {
    COMMON_OPTIONS("AutoencoderKL: a folder, or a config.json to start from random weights", "5000", "8",
                   "0.003", "50", "0.99", "0.0001", "0"),
    ACCUMULATE,
    TL_OPTION_INT(S, crop, 0, "crop", "0", 0, 8192, "PIXELS", "side of random crops; 0: whole pictures"),
    TL_OPTION_REAL(S, kl_weight, 0, "kl-weight", "0.0005", 0, 1e6, "X", "of the KL per latent value"),
    {0},
};

const struct tl_option tl_contrastive_options[] = {
    COMMON_OPTIONS("CLIPModel: a folder, or a config.json to start from random weights and a vocabulary "
                   "learnt from the captions",
                   "2000", "96", "0.002", "100", "0.98", "0.02", "0"),
    TL_OPTION_STRING(S, vae, 0, "vae", NULL, "FOLDER",
                     "AutoencoderKL through which half of the pictures are seen", TL_OPTION_PLACE),
    TL_OPTION_REAL(S, noise, 0, "noise", "0.05", 0, 2, "X", "most noise on the pictures"),
    TL_OPTION_REAL(S, patch_weight, 0, "patch-weight", "1", 0, 1e6, "X",
                   "of the patch labels' loss, where the data has them"),
    {0},
};

const struct tl_option tl_sft_options[] = {
    COMMON_OPTIONS("diffusers pipeline folder; a unet/ without weights starts from random ones", "10000",
                   "16", "0.0001", "100", "0.99", "0.001", "0.999"),
    ACCUMULATE,
    TL_OPTION_INT(S, rank, 0, "rank", "0", 0, 4096, "N", "of the LoRA; 0: 8, or that of --lora"),
    TL_OPTION_REAL(S, alpha, 0, "alpha", "0", 0, 1e6, "X", "of the LoRA; 0: the rank"),
    TL_OPTION_STRING(S, targets, 0, "targets", "to_q,to_k,to_v,to_out.0,ff.net.0.proj,ff.net.2", "NAMES",
                     "layers of the UNet that carry the LoRA, by the end of their names"),
    TL_OPTION_STRING(S, lora, 0, "lora", NULL, "FILE",
                     "a LoRA to go on from (diffusers, kohya or PEFT): its layers and ranks are trained",
                     TL_OPTION_PLACE),
    TL_OPTION_BOOL(S, full, 0, "full", "false",
                   "train all weights instead of a LoRA; a unet/ without weights is always trained so"),
    TL_OPTION_ENUM(S, dtype, 0, "dtype", "f32", tl_dtype_choices,
                   "what weights that are not trained are kept in, whatever the files have; everything is "
                   "computed in f32"),
    TL_OPTION_BOOL(S, train_text, 0, "train-text-encoder", "false", "train the text encoder, too"),
    TL_OPTION_STRING(S, text_targets, 0, "text-targets", "q_proj,k_proj,v_proj,out_proj", "NAMES",
                     "its layers that carry the LoRA"),
    TL_OPTION_ENUM(S, fit, 0, "fit", "crop", fits,
                   "pictures of other shapes: the middle of a square, or buckets of like shapes"),
    TL_OPTION_INT(S, bucket_step, 0, "bucket-step", "0", 0, 8192, "PIXELS",
                  "sides of buckets are multiples of it; 0: 64, a quarter of a --size below 256"),
    TL_OPTION_BOOL(S, no_upscale, 0, "no-upscale", "false", "with buckets: small pictures keep their size"),
    TL_OPTION_BOOL(S, flip, 0, "flip", "false", "see half of the pictures mirrored left to right"),
    TL_OPTION_STRING(S, latent_cache, 0, "latent-cache", NULL, "FOLDER",
                     "keeps latents, for the next run on the same pictures", TL_OPTION_FREE),
    TL_OPTION_REAL(S, caption_dropout, 0, "caption-dropout", "0.1", 0, 1, "X",
                   "share of samples that see the empty caption"),
    TL_OPTION_BOOL(S, shuffle_caption, 0, "shuffle-caption", "false",
                   "captions' tags, which commas separate, in random order"),
    TL_OPTION_INT(S, keep_tokens, 0, "keep-tokens", "0", 0, 1000, "N",
                  "first tags that stay in front when tags are shuffled or left out"),
    TL_OPTION_REAL(S, tag_dropout, 0, "tag-dropout", "0", 0, 1, "X", "share of tags that are left out"),
    TL_OPTION_REAL(S, snr_gamma, 0, "snr-gamma", "0", 0, 1e6, "X",
                   "min-SNR loss weights, 5 is the paper's; 0: none"),
    TL_OPTION_REAL(S, noise_offset, 0, "noise-offset", "0", 0, 1, "X",
                   "of noise that is the same for all pixels of a channel"),
    TL_OPTION_REAL(S, val_share, 0, "val-share", "0", 0, 0.9, "X",
                   "share of the pictures that is held out for the validation loss"),
    TL_OPTION_INT(S, val_every, 0, "val-every", "500", 0, 10000000, "STEPS",
                  "validation losses; a checkpoint of the lowest stays"),
    TL_OPTION_STRING(S, sample_prompts, 0, "sample-prompts", NULL, "FILE",
                     "prompts that are drawn with the run's seed while it trains, into samples/",
                     TL_OPTION_PLACE),
    TL_OPTION_INT(S, sample_every, 0, "sample-every", "500", 1, 10000000, "STEPS", "when they are drawn",
                  TL_OPTION_FREE),
    TL_OPTION_INT(S, sample_steps, 0, "sample-steps", "25", 1, 1000, "N", "denoising steps of a sample"),
    TL_OPTION_REAL(S, sample_guidance, 0, "sample-guidance", "-1", -1, 1000, "X",
                   "of samples; -1: what model_index.json names (_guidance_scale), else 7.5"),
    TL_OPTION_BOOL(S, dry_run, 'n', "dry-run", "false",
                   "say what the run would take (memory, disk, steps), and end", TL_OPTION_FREE),
    {0},
};
#undef S
