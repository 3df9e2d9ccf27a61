/* The text form of a listing. */
#ifndef TL_RUN_LISTING_TEXT_H
#define TL_RUN_LISTING_TEXT_H

#include <cjson/cJSON.h>

#include "base/str.h"

/* `tree` is an object. */
void tl_listing_print_text(struct tl_str *out, const cJSON *tree);

#endif
