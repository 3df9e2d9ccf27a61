#include <tiller/inspect.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "io/file.h"
#include "io/folder.h"
#include "io/image.h"
#include "run/inspect_parts.h"

/* The first bytes tell a picture from tensors, whatever the name says. Returns how many there are. */
static size_t read_head(const char *path, unsigned char head[16])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, head, 16) : 0;
    if (fd >= 0) close(fd);
    return n > 0 ? (size_t)n : 0;
}

static const char *picture_format(const char *path)
{
    static const struct {
        const char *magic, *name;
    } formats[] = {
        {"\x89PNG", "PNG"}, {"\xFF\xD8\xFF", "JPEG"}, {"RIFF", "WebP"}, {"GIF8", "GIF"}, {"BM", "BMP"}};
    unsigned char head[16] = {0};
    size_t n = read_head(path, head);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (n >= 4 && memcmp(head, formats[i].magic, strlen(formats[i].magic)) == 0) return formats[i].name;
    return tl_folder_is_picture(path) ? "picture" : NULL;
}

/* Keys may come twice in a PNG, but not in an object. */
static void add_texts(cJSON *out, const struct tl_png_text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char key[96];
        int times = 1;
        snprintf(key, sizeof key, "%.79s", texts[i].key);
        while (tl_json_get(out, key)) snprintf(key, sizeof key, "%.79s (%d)", texts[i].key, ++times);
        tl_listing_text(out, key, texts[i].value);
    }
}

static bool add_picture(cJSON *out, const char *path, const char *format, struct tl_err *err)
{
    struct tl_image image = {0};
    struct tl_arena arena = {0};
    struct tl_png_text *texts = NULL;
    size_t n = 0;
    tl_listing_text(out, "kind", "picture");
    tl_listing_text(out, "format", format);
    bool ok = tl_image_load(path, &image, err) &&
              (strcmp(format, "PNG") != 0 || tl_image_png_texts(path, &arena, &texts, &n, err));
    if (ok) {
        tl_listing_count(out, "width", (uint64_t)image.width);
        tl_listing_count(out, "height", (uint64_t)image.height);
        add_texts(n ? tl_listing_object(out, "texts") : NULL, texts, n);
    }
    tl_arena_finish(&arena);
    tl_image_finish(&image);
    return ok;
}

static bool add_file(cJSON *out, const struct tl_inspect_params *p, struct tl_err *err)
{
    const char *format = picture_format(p->path);
    if (format) return add_picture(out, p->path, format, err);
    struct tl_st_set *set = tl_st_set_open_file(p->path, err);
    if (!set && !tl_str_ends(p->path, ".safetensors"))
        tl_err_add(err, "%s is no picture; as a file of tensors", p->path);
    if (!set) return false;
    tl_listing_text(out, "kind", tl_st_format(tl_st_set_file(set, 0)));
    tl_inspect_tensors(out, set, p->brief);
    tl_st_set_close(&set);
    return true;
}

char *tl_inspect(const struct tl_inspect_params *p, bool *out_whole, struct tl_err *err)
{
    struct stat st;
    *out_whole = true;
    if (stat(p->path, &st) != 0) {
        tl_err_set(err, TL_BAD_INPUT, "%s: %s", p->path, strerror(errno));
        return NULL;
    }
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "path", p->path);
    bool ok = S_ISDIR(st.st_mode) ? tl_inspect_folder(out, p->path, p->brief, out_whole, err)
              : S_ISREG(st.st_mode)
                  ? add_file(out, p, err)
                  : tl_err_set(err, TL_BAD_INPUT, "%s is neither a file nor a folder", p->path);
    if (ok) return tl_listing_print(out, "tiller.inspect/1", p->json, err);
    cJSON_Delete(out);
    return NULL;
}
