/* SPIR-V: five header words, then instructions of (length << 16 | opcode) words. Ids are numbers below the
 * header's bound. Only decorations, types and variables of module scope matter here. */
#include "gpu/gpu_reflect.h"

#include <stdlib.h>
#include <string.h>

enum {
    OP_TYPE_IMAGE = 25,
    OP_TYPE_SAMPLED_IMAGE = 27,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_STRUCT = 30,
    OP_TYPE_POINTER = 32,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_VARIABLE = 59,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    DECORATION_NON_WRITABLE = 24,
    DECORATION_NON_READABLE = 25,
    DECORATION_BINDING = 33,
    DECORATION_OFFSET = 35,
    STORAGE_UNIFORM_CONSTANT = 0,
    STORAGE_PUSH_CONSTANT = 9,
    STORAGE_STORAGE_BUFFER = 12,
};

/* What is known of an id. */
struct id {
    uint32_t binding; /* + 1; 0: none */
    uint32_t pointee; /* pointer types */
    uint32_t bytes;   /* scalars and vectors */
    uint32_t n_members, n_not_written, n_not_read;
    uint32_t last_offset, last_member; /* of the member with the highest offset: its index */
    uint32_t last_type;
    bool not_written, not_read;
};

static void decorate(struct id *id, const uint32_t *w, uint32_t n)
{
    if (w[2] == DECORATION_BINDING && n >= 4) id->binding = w[3] + 1;
    if (w[2] == DECORATION_NON_WRITABLE) id->not_written = true;
    if (w[2] == DECORATION_NON_READABLE) id->not_read = true;
}

static void decorate_member(struct id *id, const uint32_t *w, uint32_t n)
{
    if (w[3] == DECORATION_NON_WRITABLE) id->n_not_written++;
    if (w[3] == DECORATION_NON_READABLE) id->n_not_read++;
    if (w[3] == DECORATION_OFFSET && n >= 5 && w[4] >= id->last_offset) {
        id->last_offset = w[4];
        id->last_member = w[2];
    }
}

static bool add_variable(struct tl_gpu_reflection *out, struct id *ids, uint32_t bound, const uint32_t *w)
{
    const struct id *variable = &ids[w[2]];
    if (w[1] >= bound || ids[w[1]].pointee >= bound) return false;
    const struct id *type = &ids[ids[w[1]].pointee];
    if (w[3] == STORAGE_PUSH_CONSTANT) {
        if (type->last_type >= bound) return false;
        out->push_bytes = type->last_offset + ids[type->last_type].bytes;
        return true;
    }
    if (w[3] != STORAGE_STORAGE_BUFFER && w[3] != STORAGE_UNIFORM_CONSTANT) return true;
    if (variable->binding == 0 || variable->binding > TL_GPU_REFLECT_MAX) return false;
    uint32_t b = variable->binding - 1;
    bool storage = w[3] == STORAGE_STORAGE_BUFFER;
    /* Two views of one binding (float and vec4 over the same memory) join their access. */
    out->kind[b] = storage ? TL_GPU_BIND_STORAGE : TL_GPU_BIND_TEXEL;
    if (!storage || !(variable->not_read || (type->n_members && type->n_not_read == type->n_members)))
        out->reads[b] = true;
    if (storage && !(variable->not_written || (type->n_members && type->n_not_written == type->n_members)))
        out->writes[b] = true;
    if (b + 1 > out->n_bind) out->n_bind = b + 1;
    return true;
}

static bool step(struct tl_gpu_reflection *out, struct id *ids, uint32_t bound, const uint32_t *w, uint32_t n)
{
    const uint32_t op = w[0] & 0xffffu;
    const bool names_id = op == OP_DECORATE || op == OP_MEMBER_DECORATE || op == OP_TYPE_STRUCT ||
                          op == OP_TYPE_POINTER || op == OP_TYPE_INT || op == OP_TYPE_FLOAT ||
                          op == OP_TYPE_VECTOR;
    if (names_id && (n < 3 || w[1] >= bound)) return n == 2 && op == OP_TYPE_STRUCT; /* an empty struct */
    switch (op) {
    case OP_DECORATE:
        decorate(&ids[w[1]], w, n);
        return true;
    case OP_MEMBER_DECORATE:
        if (n >= 4) decorate_member(&ids[w[1]], w, n);
        return true;
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        ids[w[1]].bytes = w[2] / 8;
        return true;
    case OP_TYPE_VECTOR:
        if (n < 4 || w[2] >= bound || w[3] > 4) return false;
        ids[w[1]].bytes = ids[w[2]].bytes * w[3];
        return true;
    case OP_TYPE_STRUCT:
        ids[w[1]].n_members = n - 2;
        if (ids[w[1]].last_member >= n - 2) return false;
        ids[w[1]].last_type = w[2 + ids[w[1]].last_member];
        return true;
    case OP_TYPE_POINTER:
        if (n < 4) return false;
        ids[w[1]].pointee = w[3];
        return true;
    case OP_VARIABLE:
        return n >= 4 && w[2] < bound && add_variable(out, ids, bound, w);
    default:
        return true;
    }
}

bool tl_gpu_reflect(const uint32_t *words, size_t n_words, struct tl_gpu_reflection *out, struct tl_err *err)
{
    *out = (struct tl_gpu_reflection){0};
    if (n_words < 5 || words[0] != 0x07230203u || words[3] == 0 || words[3] > (1u << 20))
        return tl_err_set(err, TL_FAIL, "not a SPIR-V module");
    const uint32_t bound = words[3];
    struct id *ids = calloc(bound, sizeof *ids);
    if (!ids) return tl_err_set(err, TL_FAIL, "out of memory");
    bool ok = true;
    size_t at = 5;
    while (ok && at < n_words) {
        uint32_t n = words[at] >> 16;
        ok = n > 0 && n <= n_words - at && step(out, ids, bound, words + at, n);
        at += n;
    }
    free(ids);
    if (!ok)
        return tl_err_set(err, TL_FAIL, "SPIR-V module: damaged, or has bindings beyond %d",
                          TL_GPU_REFLECT_MAX - 1);
    return true;
}
