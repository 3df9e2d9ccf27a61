/* A listing: facts gathered as one JSON tree, printed as JSON for programs or as text for people. Jobs that
 * report (inspect, doctor, list, forward) build the tree once, so that both forms hold the same facts.
 *
 * Text form: members of an object are "key  value" lines, an inner object is an indented block, an array of
 * objects a table. Keys stay as they are; numbers under a key that ends in "bytes" get a unit, and so do
 * large "parameters". Control characters, which file names, prompts and metadata may hold, are escaped. */
#ifndef TL_RUN_LISTING_H
#define TL_RUN_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "io/json.h"

/* Takes over the tree (NULL: out of memory while it was built). The caller frees the text. `schema` names the
 * JSON form's shape, "tiller.inspect/1". */
char *tl_listing_print(cJSON *tree, const char *schema, bool json, struct tl_err *err);

/* The builders below accept NULL for the object and then do nothing, so that one check at the end is enough.
 */
void tl_listing_text(cJSON *object, const char *key, const char *text); /* NULL text: nothing is added */
void tl_listing_format(cJSON *object, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void tl_listing_count(cJSON *object, const char *key, uint64_t n);
void tl_listing_number(cJSON *object, const char *key, double x);
void tl_listing_bool(cJSON *object, const char *key, bool b);
cJSON *tl_listing_object(cJSON *object, const char *key); /* new empty members, borrowed */
cJSON *tl_listing_array(cJSON *object, const char *key);
cJSON *tl_listing_row(cJSON *array); /* a new object at the array's end */

#endif
