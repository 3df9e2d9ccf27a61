#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz.h"

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014). */
struct dice {
    uint64_t at;
};

static uint64_t throw_dice(struct dice *d)
{
    uint64_t z = d->at += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* 0 .. n - 1; n is not 0. */
static size_t below(struct dice *d, size_t n)
{
    return (size_t)(throw_dice(d) % n);
}

struct job {
    struct dice dice;
    const struct fuzz_target *target;
    const struct fuzz_pool *pool;
    struct fuzz_bytes *m;
};

/* Where to change something: headers and trailers more often than the middle. */
static size_t place(struct job *j, size_t width)
{
    size_t n = j->m->n >= width ? j->m->n - width + 1 : 1, near = n < 96 ? n : 96;
    switch (below(&j->dice, 4)) {
    case 0:
        return below(&j->dice, near);
    case 1:
        return below(&j->dice, 2) ? n - 1 - below(&j->dice, near) : below(&j->dice, n);
    default:
        return below(&j->dice, n);
    }
}

/* Lengths are mostly short. */
static size_t length(struct job *j, size_t most)
{
    size_t small = below(&j->dice, 4) ? 16 : 4096;
    return most ? 1 + below(&j->dice, most < small ? most : small) : 0;
}

static void flip_bit(struct job *j)
{
    if (j->m->n) j->m->data[place(j, 1)] ^= (uint8_t)(1u << below(&j->dice, 8));
}

static void set_byte(struct job *j)
{
    static const uint8_t liked[] = {0, 1, 0x7f, 0x80, 0xff, ' ', '"', '\\', '\n', '-', '{', ']'};
    uint8_t v = below(&j->dice, 2) ? liked[below(&j->dice, sizeof liked)] : (uint8_t)throw_dice(&j->dice);
    if (j->m->n) j->m->data[place(j, 1)] = v;
}

static uint64_t liked_number(struct job *j)
{
    static const uint64_t base[] = {
        0,     1,     2,     16,      64,        100,        127,        255,        256,       4096,
        32767, 65535, 65536, 1 << 24, INT32_MAX, UINT32_MAX, 1ull << 32, 1ull << 53, INT64_MAX, UINT64_MAX};
    uint64_t v = base[below(&j->dice, sizeof base / sizeof *base)];
    switch (below(&j->dice, 6)) {
    case 0:
        return v + 1;
    case 1:
        return v - 1;
    case 2:
        return 0 - v;
    case 3:
        return 1ull << below(&j->dice, 64);
    case 4:
        return j->m->n - below(&j->dice, 16); /* sizes near the file's own */
    default:
        return v;
    }
}

static void put_number(struct job *j, uint64_t v, size_t at, size_t width, bool big)
{
    for (size_t i = 0; i < width; i++) j->m->data[at + i] = (uint8_t)(v >> 8 * (big ? width - 1 - i : i));
}

static void set_number(struct job *j)
{
    size_t width = (size_t)1 << below(&j->dice, 4), at;
    if (j->m->n < width) return;
    at = place(j, width);
    put_number(j, liked_number(j), at, width, below(&j->dice, 2));
}

static void add_number(struct job *j)
{
    size_t width = (size_t)1 << below(&j->dice, 3);
    if (j->m->n < width) return;
    size_t at = place(j, width);
    bool big = below(&j->dice, 2);
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++) v |= (uint64_t)j->m->data[at + i] << 8 * (big ? width - 1 - i : i);
    put_number(j, v + below(&j->dice, 33) - 16, at, width, big);
}

/* A number written in digits becomes another one. */
static void set_digits(struct job *j)
{
    size_t n = j->m->n, at = n ? place(j, 1) : 0, end;
    while (at < n && (j->m->data[at] < '0' || j->m->data[at] > '9')) at++;
    for (end = at; end < n && j->m->data[end] >= '0' && j->m->data[end] <= '9'; end++) continue;
    if (end == at) return;
    char text[40];
    const char *sign = below(&j->dice, 8) ? "" : "-", *power = below(&j->dice, 16) ? "" : "e3";
    int len = snprintf(text, sizeof text, "%s%llu%s", sign, (unsigned long long)liked_number(j), power);
    fuzz_bytes_splice(j->m, at, end - at, text, (size_t)len);
}

static void truncate_end(struct job *j)
{
    if (!j->m->n) return;
    j->m->n = below(&j->dice, 2) ? below(&j->dice, j->m->n) : j->m->n - length(j, j->m->n);
}

static void insert_bytes(struct job *j)
{
    uint8_t bytes[64], same = (uint8_t)throw_dice(&j->dice);
    size_t n = 1 + below(&j->dice, sizeof bytes);
    bool run = below(&j->dice, 2);
    for (size_t i = 0; i < n; i++) bytes[i] = run ? same : (uint8_t)throw_dice(&j->dice);
    fuzz_bytes_splice(j->m, place(j, 0), 0, bytes, n);
}

/* A piece of `from` goes into the mutant, in place of a piece or between. */
static void copy_piece(struct job *j, const struct fuzz_bytes *from, bool over)
{
    if (!from->n) return;
    static uint8_t piece[4096];
    size_t n = length(j, from->n < sizeof piece ? from->n : sizeof piece);
    memcpy(piece, from->data + below(&j->dice, from->n - n + 1), n);
    size_t at = place(j, 0), most = j->m->n - at;
    fuzz_bytes_splice(j->m, at, over ? (n < most ? n : most) : 0, piece, n);
}

static void duplicate(struct job *j)
{
    copy_piece(j, j->m, false);
}

static void copy_over(struct job *j)
{
    copy_piece(j, j->m, true);
}

static void delete_piece(struct job *j)
{
    if (!j->m->n) return;
    size_t at = place(j, 1);
    fuzz_bytes_splice(j->m, at, length(j, j->m->n - at), NULL, 0);
}

static void move_piece(struct job *j)
{
    static uint8_t piece[4096];
    if (!j->m->n) return;
    size_t at = place(j, 1), most = j->m->n - at;
    size_t n = length(j, most < sizeof piece ? most : sizeof piece);
    memcpy(piece, j->m->data + at, n);
    fuzz_bytes_splice(j->m, at, n, NULL, 0);
    fuzz_bytes_splice(j->m, place(j, 0), 0, piece, n);
}

static const struct fuzz_bytes *other_seed(struct job *j)
{
    return &j->pool->seeds[below(&j->dice, j->pool->n)];
}

/* The beginning of one file and the end of another. */
static void splice(struct job *j)
{
    const struct fuzz_bytes *other = other_seed(j);
    size_t cut = below(&j->dice, j->m->n + 1), from = below(&j->dice, other->n + 1);
    fuzz_bytes_splice(j->m, cut, j->m->n - cut, other->data + from, other->n - from);
}

static void copy_from_other(struct job *j)
{
    copy_piece(j, other_seed(j), below(&j->dice, 2));
}

static void put_word(struct job *j)
{
    size_t n = 0;
    while (j->target->words && j->target->words[n]) n++;
    if (!n) {
        set_number(j);
        return;
    }
    const char *word = j->target->words[below(&j->dice, n)];
    size_t len = strlen(word), at = place(j, 0), most = j->m->n - at;
    fuzz_bytes_splice(j->m, at, below(&j->dice, 2) ? (len < most ? len : most) : 0, word, len);
}

/* Deep and long things: one byte or short piece, thousands of times. */
static void repeat(struct job *j)
{
    if (!j->m->n || below(&j->dice, 4)) return;
    static uint8_t many[16384];
    size_t at = place(j, 1), most = j->m->n - at, n = 1 + below(&j->dice, most < 24 ? most : 24);
    size_t times = 1 + below(&j->dice, sizeof many / n);
    for (size_t i = 0; i < times; i++) memcpy(many + i * n, j->m->data + at, n);
    fuzz_bytes_splice(j->m, at, 0, many, n * times);
}

static void (*const ways[])(struct job *) = {
    flip_bit,     flip_bit,   set_byte,     set_byte,        set_number, set_number,
    add_number,   set_digits, truncate_end, insert_bytes,    duplicate,  copy_over,
    delete_piece, move_piece, splice,       copy_from_other, put_word,   repeat,
};

void fuzz_mutant(const struct fuzz_target *target, const struct fuzz_pool *pool, uint64_t seed,
                 uint64_t index, struct fuzz_bytes *out)
{
    struct job j = {.dice = {seed * 0xD1342543DE82EF95u + index}, .target = target, .pool = pool, .m = out};
    throw_dice(&j.dice);
    const struct fuzz_bytes *from = other_seed(&j);
    fuzz_bytes_set(out, from->data, from->n);
    size_t n = 1;
    while (n < 12 && below(&j.dice, 2)) n++;
    for (size_t i = 0; i < n; i++) ways[below(&j.dice, sizeof ways / sizeof *ways)](&j);
    if (target->repair && below(&j.dice, 2)) target->repair(out);
}
