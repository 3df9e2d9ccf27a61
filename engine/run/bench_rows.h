/* What `tiller bench` times: one row each. */
#ifndef TL_RUN_BENCH_ROWS_H
#define TL_RUN_BENCH_ROWS_H

#include "tensor/exec.h"

/* Something that can be run again and again on a device. */
struct tl_bench_unit {
    void *self;                                  /* owns; destroy frees it */
    bool (*run)(void *self, struct tl_err *err); /* returns when the device is done */
    void (*destroy)(void *self);
    double flops,
        bytes; /* of one run: multiply and add count one each; bytes that the kernels must read and write */
};

struct tl_bench_row {
    const char *name, *help;
    void (*build)(struct tl_graph *g); /* a kernel: the graph, whose inputs get random numbers; or */
    bool (*open)(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err);
};

extern const struct tl_bench_row tl_bench_rows[]; /* ends at name NULL */

bool tl_bench_open(const struct tl_bench_row *row, struct tl_device *device, struct tl_bench_unit *out,
                   struct tl_err *err);

/* Work of a planned graph's live nodes, for exec's own. */
void tl_bench_work(const struct tl_graph *g, double *out_flops, double *out_bytes);
/* Normals into every real input that is not written otherwise; fixed seed. */
bool tl_bench_fill(struct tl_exec *exec, struct tl_err *err);
/* An output of one number, read to wait for the device. */
void tl_bench_mark(struct tl_graph *g);
bool tl_bench_wait(struct tl_exec *exec, struct tl_err *err);

/* ---- bench_unet.c ---- */
bool tl_bench_unet_forward(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err);
bool tl_bench_unet_train(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err);

/* ---- bench_conv.c: 3x3 on the picture with stride 2, 3x3, 3x3 with stride 2, 1x1, 1x7, 7x1 ---- */
void tl_bench_conv_stem(struct tl_graph *g);
void tl_bench_conv_same(struct tl_graph *g);
void tl_bench_conv_strided(struct tl_graph *g);
void tl_bench_conv_point(struct tl_graph *g);
void tl_bench_conv_wide(struct tl_graph *g);
void tl_bench_conv_tall(struct tl_graph *g);

/* ---- bench_encoders.c ---- */
bool tl_bench_clip_b32(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err);
bool tl_bench_clip_l14(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err);
bool tl_bench_inception(struct tl_device *device, struct tl_bench_unit *out, struct tl_err *err);

#endif
