#include "run/score_row.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tl_score_row_number(struct tl_score_row *row, const char *key, double value)
{
    if (row->n_numbers == TL_SCORE_MOST_NUMBERS) return;
    row->numbers[row->n_numbers].key = key;
    row->numbers[row->n_numbers++].value = value;
}

void tl_score_row_note(struct tl_score_row *row, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *kept = row->n_notes < TL_SCORE_MOST_NOTES ? tl_arena_strdup(&row->arena, text) : NULL;
    if (kept) row->notes[row->n_notes++] = kept;
}

void tl_score_row_draws(struct tl_score_row *row, uint64_t seed, const char *method)
{
    if (strncmp(method, "bootstrap", 9) == 0 || strncmp(method, "delete-a-group", 14) == 0)
        row->is_drawn = true;
    row->seed = seed;
}

void tl_score_row_clamp(struct tl_score_row *row)
{
    double *const ends[] = {&row->value, &row->low, &row->high};
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
        if (*ends[k] < 0) *ends[k] = 0; /* not what is NaN */
}

bool tl_score_row_skip(struct tl_score_row *row, const char *folder, const char *file, const char *reason)
{
    if ((row->n_skipped & (row->n_skipped + 1)) == 0) { /* room for 1, 3, 7, 15, ... */
        struct tl_score_skip *more = realloc(row->skipped, (2 * row->n_skipped + 1) * sizeof *more);
        if (!more) return false;
        row->skipped = more;
    }
    row->skipped[row->n_skipped++] = (struct tl_score_skip){folder, file, reason};
    return true;
}

void tl_score_row_finish(struct tl_score_row *row)
{
    free(row->skipped);
    tl_arena_finish(&row->arena);
    *row = (struct tl_score_row){0};
}
