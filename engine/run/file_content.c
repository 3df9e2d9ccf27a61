#include "run/file_content.h"

#include <sys/stat.h>

#include "base/sha256.h"

static bool note_state(const char *path, struct tl_file_content *out)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    out->changed = st.st_mtim;
    out->bytes = st.st_size;
    out->inode = st.st_ino;
    return true;
}

bool tl_file_content_read(struct tl_file_content *out, const char *path, int64_t most, const char *doing,
                          struct tl_err *err)
{
    struct tl_err why = {0};
    *out = (struct tl_file_content){0};
    if (note_state(path, out) && out->bytes <= most && tl_sha256_file_while(path, doing, out->hash, &why))
        return true;
    out->hash[0] = 0;
    if (why.code == TL_INTERRUPTED) *err = why;
    return false;
}

void tl_file_content_check(struct tl_file_content *c, const char *path)
{
    struct tl_file_content now = {0};
    if (!c->hash[0]) return;
    if (!note_state(path, &now) || now.bytes != c->bytes || now.inode != c->inode ||
        now.changed.tv_sec != c->changed.tv_sec || now.changed.tv_nsec != c->changed.tv_nsec)
        c->hash[0] = 0;
}
