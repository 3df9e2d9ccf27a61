/* Config files of programs that use the option tables: JSON objects of option names and values. */
#ifndef TILLER_CONFIG_H
#define TILLER_CONFIG_H

#include <tiller/option.h>

/* Every member of the file goes to the set that knows it, weaker than the command line. TL_USAGE for a name
 * that nobody knows or a value out of range, TL_BAD_INPUT for a file that is no JSON; messages name the file.
 */
bool tl_config_read(struct tl_options *const *sets, size_t n_sets, const char *path, struct tl_err *err);

/* What the run in `folder` was begun with: its config.json (in runs of older versions, run.json's seed as the
 * option "seed"). A value that was given otherwise by now, on the command line or in a file, is TL_USAGE
 * unless its row is free (option.h): a resumed run keeps what it was begun with. */
bool tl_config_read_run(struct tl_options *const *sets, size_t n_sets, const char *folder,
                        struct tl_err *err);

/* The string under a key of a config file; the caller frees. NULL with err->code 0 where the key is absent.
 */
char *tl_config_text(const char *path, const char *key, struct tl_err *err);

#endif
