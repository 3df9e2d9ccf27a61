/* Config files of programs that use the option tables: JSON objects of option names and values. */
#ifndef TILLER_CONFIG_H
#define TILLER_CONFIG_H

#include <tiller/option.h>

/* Every member of the file goes to the set that knows it, weaker than the command line. TL_USAGE for a name
 * that nobody knows or a value out of range, TL_BAD_INPUT for a file that is no JSON; messages name the file.
 */
bool tl_config_read(struct tl_options *const *sets, size_t n_sets, const char *path, struct tl_err *err);

/* What a run was begun with: its config.json, and run.json's seed as the option "seed". */
bool tl_config_read_run(struct tl_options *const *sets, size_t n_sets, const char *folder,
                        struct tl_err *err);

/* The string under a key of a config file; the caller frees. NULL with err->code 0 where the key is absent.
 */
char *tl_config_text(const char *path, const char *key, struct tl_err *err);

#endif
