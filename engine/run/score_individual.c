/* Each file's own Frechet distance to the reference, as a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "metrics/frechet.h"
#include "run/score_metrics.h"

static bool add_rows(const struct tl_measure *m, const struct tl_frechet_item *items, struct tl_str *out,
                     struct tl_err *err)
{
    tl_str_append(out, "file,rows,value,remark\n");
    for (size_t i = 0; i < m->set->features.n_items; i++) {
        tl_score_csv_text(out, m->set->names ? m->set->names[i] : "");
        tl_str_printf(out, ",%zu,", items[i].n_rows);
        if (!tl_score_csv_number(out, items[i].error ? NAN : items[i].value, err)) return false;
        tl_str_append(out, ",");
        tl_score_csv_text(out, items[i].error ? items[i].error : "");
        tl_str_append(out, "\n");
    }
    return !out->failed || tl_err_set(err, TL_FAIL, "out of memory");
}

static bool distances(const struct tl_measure *m, struct tl_frechet_side reference,
                      struct tl_frechet_item *out, struct tl_err *err)
{
    const struct tl_features *x = &m->set->features;
    struct tl_gaussian made = {0};
    if (strcmp(m->way->flavour.name, "fadtk") != 0)
        return tl_frechet_per_item(x, reference, m->pool, out, err);
    bool ok = !reference.rows || tl_score_fadtk_gaussian(reference.rows, m->pool, &made, err);
    ok = ok && tl_score_fadtk_per_item(x, reference.rows ? &made : reference.gaussian, m->pool, out, err);
    tl_gaussian_finish(&made);
    return ok;
}

bool tl_score_write_individual(const struct tl_measure *m, struct tl_err *err)
{
    const struct tl_feature_set *r = m->reference;
    struct tl_frechet_side reference = r->source == TL_FEATURES_OF_STATISTICS
                                           ? (struct tl_frechet_side){.gaussian = &r->gaussian}
                                           : (struct tl_frechet_side){.rows = &r->features};
    struct tl_str out = {0};
    if (m->set->features.n == m->set->features.n_items)
        return tl_err_set(
            err, TL_USAGE,
            "--indiv needs several rows a file, and %s has one of each: too short for windows, or "
            "the encoder gives one row a file (vggish, logmel and clap give more)",
            m->set->path);
    struct tl_frechet_item *items = calloc(m->set->features.n_items + 1, sizeof *items);
    bool ok = (items || tl_err_set(err, TL_FAIL, "out of memory")) && distances(m, reference, items, err) &&
              add_rows(m, items, &out, err) && tl_file_write(m->params->indiv, out.data, out.len, err);
    free(items);
    tl_str_finish(&out);
    return ok;
}
