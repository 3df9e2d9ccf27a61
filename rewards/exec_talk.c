#include "rewards/exec_talk.h"

static bool send_line(struct tl_exec_link *link, struct tl_str *line, struct tl_err *err)
{
    bool ok = (!line->failed || tl_err_set(err, TL_FAIL, "out of memory")) &&
              tl_exec_link_send(link, line->data, line->len, err);
    tl_str_finish(line);
    return ok;
}

bool tl_exec_talk_start(struct tl_exec_link *link, const struct tl_exec_spec *spec,
                        const struct tl_exec_log *log, const struct tl_exec_media *media, struct tl_err *err)
{
    struct tl_str line = {0};
    if (!tl_exec_link_start(link, spec, log, media->folder, err)) return false;
    tl_exec_hello(&line);
    return send_line(link, &line, err);
}

bool tl_exec_talk_ask(struct tl_exec_link *link, const struct tl_exec_media *media, int64_t id,
                      const char *kind, const struct tl_reward_item *items, size_t n, struct tl_err *err)
{
    struct tl_str line = {0};
    if (!tl_exec_media_write(media, id, items, n, err)) return false;
    tl_exec_request(&line, id, kind, media->folder, items, n);
    if (!line.failed && line.len > TL_EXEC_MOST_LINE) {
        tl_str_finish(&line);
        return tl_err_set(err, TL_USAGE, "%zu samples make a request of more than %d bytes", n,
                          TL_EXEC_MOST_LINE);
    }
    return send_line(link, &line, err);
}
