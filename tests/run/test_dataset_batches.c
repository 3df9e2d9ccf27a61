/* Batches: a pass looks at every picture as often as it repeats, a batch is of one bucket, and batch k is the
 * same from wherever one begins. */
#include "support/check.h"

#include "run/dataset_batches.h"

enum { BUCKETS = 4, PICTURES = 23, MOST = 8 };

/* A set as tl_dataset_open makes it, without pictures: bucket i % 3 and the last alone in bucket 3. */
struct fake {
    struct tl_dataset d;
    struct tl_folder_item items[PICTURES];
    int item[PICTURES], bucket[PICTURES], members[BUCKETS][PICTURES];
    bool held_out[PICTURES];
    struct tl_bucket buckets[BUCKETS];
};

static void make(struct fake *f)
{
    *f = (struct fake){0};
    for (int i = 0; i < PICTURES; i++) {
        int k = i + 1 == PICTURES ? BUCKETS - 1 : i % (BUCKETS - 1);
        f->items[i].repeats = 1 + i % 4;
        f->item[i] = i;
        f->bucket[i] = k;
        f->held_out[i] = i % 5 == 2;
        f->members[k][f->buckets[k].n++] = i;
    }
    for (int k = 0; k < BUCKETS; k++) f->buckets[k].pictures = f->members[k];
    f->d = (struct tl_dataset){.n = PICTURES,
                               .item = f->item,
                               .bucket = f->bucket,
                               .held_out = f->held_out,
                               .buckets = f->buckets,
                               .n_buckets = BUCKETS};
    f->d.folder.items = f->items;
}

static struct tl_batches batches_of(const struct fake *f, enum tl_part part, int size, uint64_t seed)
{
    struct tl_err err = {0};
    struct tl_batches b;
    check_ok(tl_batches_init(&b, &f->d, part, size, seed, &err), &err);
    return b;
}

static void test_a_pass(void **state)
{
    (void)state;
    struct fake f;
    make(&f);
    for (int size = 1; size <= MOST; size++) {
        struct tl_batches b = batches_of(&f, TL_PART_TRAIN, size, 7);
        for (uint64_t pass = 0; pass < 3; pass++) {
            int seen[PICTURES] = {0};
            uint64_t visits = 0;
            for (uint64_t k = 0; k < b.per_pass; k++) {
                struct tl_batch batch = tl_batches_get(&b, pass * b.per_pass + k);
                assert_true(batch.pass == pass && batch.n_own >= 1 && batch.n_own <= size);
                for (int j = 0; j < size; j++) {
                    int i = batch.pictures[j];
                    assert_ptr_equal(batch.bucket, &f.buckets[f.bucket[i]]);
                    assert_false(f.held_out[i]);
                    seen[i] += j < batch.n_own;
                }
                visits += (uint64_t)batch.n_own;
            }
            for (int i = 0; i < PICTURES; i++)
                assert_int_equal(seen[i], f.held_out[i] ? 0 : f.items[i].repeats);
            assert_int_equal(visits, b.visits);
        }
        tl_batches_finish(&b);
    }
}

/* A short last batch goes on from the start of its bucket's order. */
static void test_filled(void **state)
{
    (void)state;
    struct fake f;
    make(&f);
    struct tl_batches b = batches_of(&f, TL_PART_TRAIN, MOST, 3);
    for (uint64_t k = 0, n_short = 0; k < b.per_pass; k++) {
        struct tl_batch batch = tl_batches_get(&b, k);
        if (batch.n_own == MOST) continue;
        int own = batch.n_own, last[MOST];
        memcpy(last, batch.pictures, sizeof last);
        const struct tl_bucket *bucket = batch.bucket;
        n_short++;
        int first[MOST] = {0}; /* the bucket's first batch, as a batch of one after another gives it */
        uint64_t n = 0;
        struct tl_batches one = batches_of(&f, TL_PART_TRAIN, 4096, 3);
        for (uint64_t i = 0; i < one.per_pass; i++) {
            struct tl_batch all = tl_batches_get(&one, i);
            if (all.bucket != bucket) continue;
            n = (uint64_t)all.n_own;
            memcpy(first, all.pictures, sizeof first);
        }
        assert_int_equal(n % MOST, own % MOST);
        for (int j = own; j < MOST; j++) assert_int_equal(last[j], first[j - own]);
        tl_batches_finish(&one);
        if (k + 1 == b.per_pass) assert_true(n_short > 0);
    }
    tl_batches_finish(&b);
}

static void test_from_anywhere(void **state)
{
    (void)state;
    struct fake f;
    make(&f);
    struct tl_batches b = batches_of(&f, TL_PART_TRAIN, 4, 11), other = batches_of(&f, TL_PART_TRAIN, 4, 12);
    enum { N = 60 };
    int seen[N][4], differ = 0, orders = 0;
    for (uint64_t k = 0; k < N; k++) {
        memcpy(seen[k], tl_batches_get(&b, k).pictures, sizeof seen[k]);
        differ += memcmp(seen[k], tl_batches_get(&other, k).pictures, sizeof seen[k]) != 0;
        if (k >= b.per_pass) orders += memcmp(seen[k], seen[k - b.per_pass], sizeof seen[k]) != 0;
    }
    assert_true(differ > N / 2 && orders > 10); /* another seed, another pass: another order */
    for (uint64_t k = N; k-- > 0;)
        assert_memory_equal(seen[k], tl_batches_get(&b, k).pictures, sizeof seen[k]);
    for (uint64_t k = 0; k < N; k += 7) {
        struct tl_batches fresh = batches_of(&f, TL_PART_TRAIN, 4, 11);
        assert_memory_equal(seen[k], tl_batches_get(&fresh, k).pictures, sizeof seen[k]);
        tl_batches_finish(&fresh);
    }
    tl_batches_finish(&b);
    tl_batches_finish(&other);
}

static void test_held_out(void **state)
{
    (void)state;
    struct fake f;
    make(&f);
    struct tl_batches b = batches_of(&f, TL_PART_HELD_OUT, 2, 1);
    int seen[PICTURES] = {0}, last_bucket = 0;
    for (uint64_t k = 0; k < b.per_pass; k++) {
        struct tl_batch batch = tl_batches_get(&b, k);
        int pictures[2], own = batch.n_own, bucket = (int)(batch.bucket - f.buckets);
        memcpy(pictures, batch.pictures, sizeof pictures);
        assert_true(bucket >= last_bucket);
        last_bucket = bucket;
        for (int j = 0; j < own; j++) seen[pictures[j]]++;
        assert_memory_equal(pictures, tl_batches_get(&b, k + 5 * b.per_pass).pictures, sizeof pictures);
    }
    for (int i = 0; i < PICTURES; i++) assert_int_equal(seen[i], f.held_out[i]);
    tl_batches_finish(&b);
    memset(f.held_out, 0, sizeof f.held_out);
    b = batches_of(&f, TL_PART_HELD_OUT, 2, 1);
    assert_int_equal(b.per_pass, 0);
    tl_batches_finish(&b);
    tl_batches_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_pass), cmocka_unit_test(test_filled),
                                       cmocka_unit_test(test_from_anywhere), cmocka_unit_test(test_held_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
