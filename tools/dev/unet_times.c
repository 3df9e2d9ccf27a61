/* Times a UNet folder on the cpu device, forward and forward plus backward into a LoRA, as a training step
 * runs them: unet_times FOLDER [BATCH [SIZE [RANK [RECOMPUTE [REFERENCE]]]]] SIZE is the latents' side (64),
 * RANK 0 leaves the LoRA and the backward pass out, RECOMPUTE 1 recomputes block activations. REFERENCE is a
 * folder of tests/reference/sd15_full.py: its inputs and adapter are used, and errors against its outputs
 * printed. Wall time beside CPU time: a core of CPU time is what counts where other programs use the machine
 * too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tiller/log.h>

#include "base/clock.h"
#include "io/safetensors.h"
#include "models/lora_file.h"
#include "sample/denoiser.h"

enum { RUNS = 3 };

static struct tl_err err;

static void die(void)
{
    fprintf(stderr, "unet_times: %s\n", err.text);
    exit(1);
}

static void say(void *user, enum tl_log_level level, const char *text)
{
    (void)user;
    if (level <= TL_LOG_INFO) fprintf(stderr, "%s\n", text);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* VmHWM or VmRSS in GB. */
static double status_gb(const char *key)
{
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) kb = atof(line + strlen(key) + 1);
    if (f) fclose(f);
    return kb * 1024e-9;
}

static void reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

struct data {
    struct tl_st_file *reference; /* or NULL */
    float *x, *t, *context, *cot, *out;
    size_t n_x, n_context, n_out;
};

/* NCHW <-> NHWC of one picture after the other. */
static void turn(const float *from, float *to, int64_t n, int64_t pixels, int64_t c, bool to_kernel)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t k = 0; k < c; k++) {
                int64_t kernel = (i * pixels + p) * c + k, file = (i * c + k) * pixels + p;
                to[to_kernel ? kernel : file] = from[to_kernel ? file : kernel];
            }
}

static float *values(const struct data *d, const char *name, size_t n)
{
    float *v = malloc((n + 1) * sizeof *v);
    const struct tl_st_tensor *t = d->reference ? tl_st_find(d->reference, name) : NULL;
    if (!v) die();
    if (d->reference && (!t || t->n != n)) {
        fprintf(stderr, "unet_times: the reference has no %s of %zu values: give its batch and size\n", name,
                n);
        exit(1);
    }
    if (t && !tl_st_to_f32(t, v, &err)) die();
    for (size_t i = 0; !t && i < n; i++) v[i] = (float)((i * 7919) % 2003) / 1000.0f - 1;
    return v;
}

static float *picture(const struct data *d, const char *name, int64_t batch, int64_t side, int64_t c)
{
    float *file = values(d, name, (size_t)(batch * side * side * c)),
          *v = malloc((size_t)(batch * side * side * c) * sizeof *v);
    if (!v) die();
    turn(file, v, batch, side * side, c, true);
    free(file);
    return v;
}

struct error {
    double difference, size;
};

static void error_add(struct error *e, const float *have, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d = (double)have[i] - (double)want[i];
        e->difference += d * d;
        e->size += (double)want[i] * (double)want[i];
    }
}

static double relative(const struct error *e)
{
    return sqrt(e->difference / e->size);
}

/* All matrices' gradients together, and the worst single one. */
static void compare_gradients(const struct data *d, struct tl_store *grads)
{
    struct error all = {0};
    double worst = 0;
    const char *worst_name = "";
    for (int32_t i = 0; i < grads->layout->n_entries; i++) {
        const struct tl_store_entry *e = &grads->layout->entries[i];
        size_t n = (size_t)tl_shape_count(&e->shape), layer = strlen(e->name) - strlen(".lora_A.weight");
        bool down = strcmp(e->name + layer, ".lora_A.weight") == 0;
        char name[600];
        snprintf(name, sizeof name, "grad.unet.%.*s.lora.%s.weight", (int)layer, e->name,
                 down ? "down" : "up");
        float *want = values(d, name, n), *kernel = malloc(n * sizeof *kernel),
              *file = malloc(n * sizeof *file);
        if (!kernel || !file || !tl_store_read(grads, e, kernel, &err)) die();
        tl_layout_to_file(e->layout, &e->shape, kernel, file);
        struct error one = {0};
        error_add(&one, file, want, n);
        error_add(&all, file, want, n);
        if (relative(&one) > worst) {
            worst = relative(&one);
            worst_name = e->name;
        }
        free(want);
        free(kernel);
        free(file);
    }
    printf("gradients: relative L2 %.2e together, %.2e the worst (%s)\n", relative(&all), worst, worst_name);
}

static void compare_output(const struct data *d, int64_t batch, int64_t side, int64_t c)
{
    float *want = picture(d, "out.sample", batch, side, c);
    struct error e = {0};
    error_add(&e, d->out, want, d->n_out);
    printf("output: relative L2 %.2e\n", relative(&e));
    free(want);
}

/* A few runs: the best wall time, the least CPU time, and the peak of memory over them. */
static void time_runs(const char *what, bool (*run)(void *arg), void *arg)
{
    double wall = 1e30, cpu = 1e30;
    reset_peak();
    for (int i = 0; i < RUNS; i++) {
        double w = tl_clock_s(), c = cpu_s();
        if (!run(arg)) die();
        w = tl_clock_s() - w;
        c = cpu_s() - c;
        printf("%s: run %d, %.2f s, CPU %.2f s\n", what, i + 1, w, c);
        if (w < wall) wall = w;
        if (c < cpu) cpu = c;
    }
    printf("%s: best %.2f s, CPU %.2f s, peak memory %.2f GB\n", what, wall, cpu, status_gb("VmHWM"));
    fflush(stdout);
}

struct call {
    struct tl_denoiser *denoiser;
    struct tl_denoiser_weights weights;
    struct data *data;
};

static bool forward(void *arg)
{
    struct call *c = arg;
    struct data *d = c->data;
    return tl_denoiser_run(c->denoiser, &c->weights, d->x, d->t,
                           &(struct tl_condition){.context = d->context}, 1, d->out, &err);
}

static bool backward(void *arg)
{
    struct call *c = arg;
    struct data *d = c->data;
    return tl_store_zero(c->weights.grads, &err) &&
           tl_denoiser_backward(c->denoiser, &c->weights, d->x, d->t,
                                &(struct tl_condition){.context = d->context}, 1, d->cot, &err);
}

static struct tl_store *make_adapter(const struct tl_component *unet, struct tl_denoiser *denoiser,
                                     const char *reference)
{
    struct tl_store *lora = tl_store_create(unet->store->device, tl_denoiser_lora_layout(denoiser), &err);
    struct tl_lora_model model = {.part = {[TL_LORA_UNET] = unet->layout}};
    struct tl_lora_file file = {0};
    char path[1024];
    if (!lora) die();
    if (!reference) return lora;
    snprintf(path, sizeof path, "%s/lora", reference);
    if (!tl_lora_file_read(path, &model, &file, &err) ||
        !tl_lora_file_load(&file, TL_LORA_UNET, lora, 1, &err))
        die();
    tl_lora_file_finish(&file);
    return lora;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "unet_times FOLDER [BATCH [SIZE [RANK [RECOMPUTE [REFERENCE]]]]]\n");
        return 2;
    }
    int64_t batch = argc > 2 ? atoi(argv[2]) : 1, side = argc > 3 ? atoi(argv[3]) : 64;
    int rank = argc > 4 ? atoi(argv[4]) : 4;
    const char *reference = argc > 6 ? argv[6] : NULL;
    tl_log_set(say, NULL);
    double start = tl_clock_s(), cpu = cpu_s();
    struct tl_device *device = tl_device_open(&(struct tl_device_params){.name = "cpu"}, &err);
    struct tl_component *unet = device ? tl_component_open(device, argv[1], &err) : NULL;
    if (!unet) die();
    printf("loading: %.2f s, CPU %.2f s, peak memory %.2f GB, then %.2f GB; weights %.2f GB\n",
           tl_clock_s() - start, cpu_s() - cpu, status_gb("VmHWM"), status_gb("VmRSS"),
           (double)unet->layout->n_elements * 4e-9);
    const struct tl_unet_config *c = &unet->config.unet;
    struct tl_lora_spec spec = {0};
    if (rank > 0 && !tl_lora_spec_parse("to_q,to_k,to_v,to_out.0", rank, rank, &spec, &err)) die();
    struct tl_denoiser_params p = {.unet = unet,
                                   .batch = batch,
                                   .height = side,
                                   .width = side,
                                   .tokens = 77,
                                   .lora = rank > 0 ? &spec : NULL,
                                   .gradient = rank > 0,
                                   .checkpoint = argc > 5 && atoi(argv[5])};
    start = tl_clock_s();
    struct call call = {.denoiser = tl_denoiser_create(&p, &err)};
    if (!call.denoiser) die();
    printf("plan: %.2f s, %.1f MB of activations\n", tl_clock_s() - start,
           (double)tl_denoiser_bytes(call.denoiser) * 1e-6);
    struct data d = {.n_context = (size_t)(batch * 77 * c->cross_dim[0]),
                     .n_out = (size_t)(batch * side * side * c->out_channels)};
    char path[1024];
    snprintf(path, sizeof path, "%s/io_lora.safetensors", reference ? reference : "");
    if (reference && !(d.reference = tl_st_open(path, &err))) die();
    d.x = picture(&d, "sample", batch, side, c->in_channels);
    d.cot = picture(&d, "cot.sample", batch, side, c->out_channels);
    d.context = values(&d, "encoder_hidden_states", d.n_context);
    d.t = values(&d, "timestep", (size_t)batch);
    d.out = malloc(d.n_out * sizeof *d.out);
    call.data = &d;
    if (!d.out) die();
    if (rank > 0) call.weights.lora = make_adapter(unet, call.denoiser, reference);
    call.weights.lora_scale = 1;
    time_runs("forward", forward, &call);
    if (reference && rank > 0) compare_output(&d, batch, side, c->out_channels);
    if (rank > 0) {
        call.weights.grads = tl_store_create(device, tl_denoiser_lora_layout(call.denoiser), &err);
        if (!call.weights.grads) die();
        time_runs("forward and backward", backward, &call);
        if (reference) compare_gradients(&d, call.weights.grads);
    }
    tl_store_destroy(&call.weights.grads);
    tl_store_destroy(&call.weights.lora);
    tl_denoiser_destroy(&call.denoiser);
    tl_lora_spec_finish(&spec);
    tl_component_close(&unet);
    tl_device_close(&device);
    tl_st_close(&d.reference);
    free(d.x);
    free(d.cot);
    free(d.context);
    free(d.t);
    free(d.out);
    return 0;
}
