#include "rewards/exec_media.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/file.h"
#include "io/image.h"
#include "io/sound.h"

/* Below this a container's /dev/shm is too small for a batch of large pictures or long sounds. */
enum { LEAST_ROOM = 256 << 20 };

/* ---- the folder ---- */

static bool has_room(const char *folder)
{
    struct statvfs fs;
    return access(folder, W_OK | X_OK) == 0 && statvfs(folder, &fs) == 0 &&
           (double)fs.f_bavail * (double)fs.f_frsize >= LEAST_ROOM;
}

bool tl_exec_media_open(struct tl_exec_media *media, struct tl_err *err)
{
    struct tl_str path = {0};
    const char *temp = getenv("TMPDIR");
    const char *in = has_room("/dev/shm") ? "/dev/shm" : temp && temp[0] == '/' ? temp : "/tmp";
    tl_str_printf(&path, "%s/tiller-reward-%ld-XXXXXX", in, (long)getpid());
    media->folder = NULL;
    if (!path.failed && mkdtemp(path.data)) {
        media->folder = path.data; /* moved */
        return true;
    }
    tl_str_finish(&path);
    return tl_err_set(err, TL_OUTPUT, "no folder for a reward's samples can be made in %s: %s%s", in,
                      strerror(errno), tl_file_advice(errno));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    remove(path);
    return 0;
}

void tl_exec_media_close(struct tl_exec_media *media)
{
    if (!media->folder) return;
    nftw(media->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(media->folder);
    media->folder = NULL;
}

/* ---- its files ---- */

void tl_exec_media_name(int64_t batch, size_t i, const struct tl_reward_item *item, char out[48])
{
    snprintf(out, 48, "%lld-%04zu.%s", (long long)batch, i, item->samples ? "wav" : "png");
}

/* New, for a program may have left a link of this name. */
static bool write_new(const char *path, const uint8_t *data, size_t n, struct tl_err *err)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < n;) {
        ssize_t more = write(fd, data + done, n - done);
        ok = more > 0 || (more < 0 && errno == EINTR);
        if (more > 0) done += (size_t)more;
    }
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && ok) ok = false;
    return ok ||
           tl_err_set(err, TL_OUTPUT, "%s cannot be written: %s%s", path, strerror(why), tl_file_advice(why));
}

static bool write_item(const char *path, const struct tl_reward_item *item, struct tl_err *err)
{
    if (item->samples) {
        const struct tl_sound sound = tl_reward_item_sound(item);
        return tl_sound_save(path, &sound, TL_SOUND_WAV_FLOAT, err);
    }
    const struct tl_image image = {item->width, item->height, 3, (uint8_t *)(uintptr_t)item->rgb};
    uint8_t *bytes = NULL;
    size_t n = 0;
    bool ok = tl_image_encode_png(&image, NULL, 0, &bytes, &n, err) && write_new(path, bytes, n, err);
    free(bytes);
    return ok;
}

static bool path_of(const struct tl_exec_media *media, int64_t batch, size_t i,
                    const struct tl_reward_item *item, struct tl_str *out)
{
    char name[48];
    tl_exec_media_name(batch, i, item, name);
    tl_str_clear(out);
    tl_str_printf(out, "%s/%s", media->folder, name);
    return !out->failed;
}

bool tl_exec_media_write(const struct tl_exec_media *media, int64_t batch, const struct tl_reward_item *items,
                         size_t n, struct tl_err *err)
{
    struct tl_str path = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = path_of(media, batch, i, &items[i], &path) || tl_err_set(err, TL_FAIL, "out of memory");
        ok = ok && (write_item(path.data, &items[i], err) || tl_reward_item_err(items, i, err));
    }
    tl_str_finish(&path);
    return ok;
}

void tl_exec_media_remove(const struct tl_exec_media *media, int64_t batch, size_t n)
{
    static const float none;
    const struct tl_reward_item kinds[] = {{0}, {.samples = &none}};
    struct tl_str path = {0};
    for (size_t i = 0; i < n; i++)
        for (int kind = 0; kind < 2; kind++)
            if (path_of(media, batch, i, &kinds[kind], &path)) unlink(path.data);
    tl_str_finish(&path);
}
