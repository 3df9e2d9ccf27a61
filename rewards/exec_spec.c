#include "rewards/exec_spec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "rewards/spec.h"

const char tl_exec_spec_argument[] =
    "COMMAND[,timeout=S][,start=S][,workers=N][,retries=N][,memory=MIB][,log=FILE]";

/* ---- settings ---- */

static const char *const keys[] = {"timeout", "start", "workers", "retries", "memory", "log"};
enum { N_KEYS = sizeof keys / sizeof *keys, KEY_WORKERS = 2, KEY_RETRIES = 3, KEY_LOG = N_KEYS - 1 };
static const double lowest[] = {0.01, 0.01, 1, 0, 0}, highest[] = {1e6, 1e6, 16, 1e6, 1e9};

static bool read_setting(struct tl_exec_spec *s, size_t key, const char *value, size_t n, bool *seen,
                         struct tl_err *err)
{
    double x = 0;
    if (seen[key]) return tl_err_set(err, TL_USAGE, "%s is set twice", keys[key]);
    seen[key] = true;
    if (n > 1 && (*value == '\'' || *value == '"')) {
        value++;
        n -= 2;
    }
    if (key == KEY_LOG) {
        s->log = n ? strndup(value, n) : NULL;
        return s->log || tl_err_set(err, TL_USAGE, "log= names no file");
    }
    if (!tl_spec_number(value, n, &x) || !(x >= lowest[key] && x <= highest[key]))
        return tl_err_set(err, TL_USAGE, "%s=%.*s: a number from %g to %g is wanted", keys[key], (int)n,
                          value, lowest[key], highest[key]);
    if ((key == KEY_WORKERS || key == KEY_RETRIES) && x != floor(x))
        return tl_err_set(err, TL_USAGE, "%s=%.*s: a whole number is wanted", keys[key], (int)n, value);
    if (key == 0) s->timeout_s = x;
    if (key == 1) s->start_s = x;
    if (key == KEY_WORKERS) s->workers = (int)x;
    if (key == KEY_RETRIES) s->retries = (int)x;
    if (key == 4) s->memory = (size_t)(x * 1048576);
    return true;
}

/* All of it in one pair of quotes. */
static bool is_quoted(const char *value, size_t n)
{
    char quote = n ? *value : 0;
    if ((quote != '\'' && quote != '"') || n < 2) return false;
    size_t within = strcspn(value + 1, quote == '"' ? "\"\\" : "'");
    return within == n - 2 && value[n - 1] == quote;
}

/* A comma and "word=value" behind it, as settings are written. */
static bool looks_like_setting(const char *comma, size_t n, size_t *out_word)
{
    *out_word = strspn(comma + 1, "abcdefghijklmnopqrstuvwxyz_-");
    size_t begin = *out_word + 2;
    if (!*out_word || begin > n || comma[begin - 1] != '=') return false;
    return strcspn(comma, " \t\n'\"\\") >= n || is_quoted(comma + begin, n - begin);
}

/* A word that is nearly a setting's name is a slip; any other is the program's own. */
static bool find_key(const char *word, size_t n, size_t *out_key, struct tl_err *err)
{
    char *name = strndup(word, n);
    if (!name) return tl_err_set(err, TL_FAIL, "out of memory");
    for (*out_key = 0; *out_key < N_KEYS && strcmp(keys[*out_key], name) != 0;) (*out_key)++;
    const char *near = *out_key == N_KEYS ? tl_str_nearest(name, keys, N_KEYS) : NULL;
    if (near)
        tl_err_set(
            err, TL_USAGE,
            "there is no setting '%s'; did you mean %s? (if it is the program's own, put it in quotes)", name,
            near);
    free(name);
    return !near;
}

/* Cuts settings off the end; quoted [n] says which bytes stand in quotes. Leaves the command's length. */
static bool cut_settings(struct tl_exec_spec *s, const char *arg, const bool *quoted, size_t *n,
                         struct tl_err *err)
{
    bool seen[N_KEYS] = {false};
    for (;;) {
        size_t at = *n, word, key = N_KEYS;
        while (at > 0 && (arg[at - 1] != ',' || quoted[at - 1])) at--;
        if (at == 0 || !looks_like_setting(arg + at - 1, *n - at + 1, &word)) return true;
        if (!find_key(arg + at, word, &key, err)) return false;
        if (key == N_KEYS) return true;
        if (!read_setting(s, key, arg + at + word + 1, *n - at - word - 1, seen, err)) return false;
        *n = at - 1;
    }
}

/* ---- words ---- */

/* One byte of a command: whether it is a quote or an escape itself, parts words, or belongs to one. */
enum role { PART, SPACE, MARK };

/* quote: 0, '\'', '"', or '\\' for a byte behind one (with the quote around it in outer). */
struct reader {
    char quote, outer;
};

static enum role read_byte(struct reader *r, char c, char next)
{
    if (r->quote == '\\') {
        r->quote = r->outer;
        return PART;
    }
    if (c == '\\' && r->quote != '\'' && (r->quote == 0 || next == '"' || next == '\\')) {
        r->outer = r->quote;
        r->quote = '\\';
        return MARK;
    }
    if ((c == '\'' || c == '"') && (r->quote == 0 || r->quote == c)) {
        r->quote = r->quote ? 0 : c;
        return MARK;
    }
    return !r->quote && (c == ' ' || c == '\t' || c == '\n') ? SPACE : PART;
}

static bool mark_quoted(const char *arg, size_t n, bool *quoted, struct tl_err *err)
{
    struct reader r = {0};
    for (size_t i = 0; i < n; i++) {
        bool before = r.quote != 0;
        quoted[i] = read_byte(&r, arg[i], arg[i + 1]) == MARK || before;
    }
    return !r.quote || tl_err_set(err, TL_USAGE, "the command '%s' ends inside a quote", arg);
}

static bool add_word(struct tl_exec_spec *s, const struct tl_str *word, struct tl_err *err)
{
    char **more = realloc(s->words, (s->n_words + 2) * sizeof *more);
    if (more) s->words = more;
    char *copy = more ? strdup(word->data ? word->data : "") : NULL;
    if (!copy || word->failed) {
        free(copy);
        return tl_err_set(err, TL_FAIL, "out of memory");
    }
    s->words[s->n_words++] = copy;
    s->words[s->n_words] = NULL;
    return true;
}

/* What only a shell could do is a misunderstanding that would end in a strange message of the program's. */
static bool refuse_shell(const char *word, bool plain, struct tl_err *err)
{
    static const char *const marks[] = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>&1", "2>"};
    for (size_t i = 0; plain && i < sizeof marks / sizeof *marks; i++)
        if (strcmp(word, marks[i]) == 0)
            return tl_err_set(
                err, TL_USAGE,
                "'%s' means nothing here, for no shell runs: write exec:sh -c '...', or quote it", word);
    return true;
}

static bool cut_words(struct tl_exec_spec *s, const char *arg, size_t n, struct tl_err *err)
{
    struct tl_str word = {0};
    struct reader r = {0};
    bool ok = true, within = false, plain = true;
    for (size_t i = 0; ok && i <= n; i++) {
        enum role role = i < n ? read_byte(&r, arg[i], arg[i + 1]) : SPACE;
        within |= role != SPACE;
        plain = plain && role != MARK;
        if (role == PART) tl_str_append_n(&word, arg + i, 1);
        if (role != SPACE || !within) continue;
        ok = add_word(s, &word, err) && refuse_shell(s->words[s->n_words - 1], plain, err);
        tl_str_clear(&word);
        within = false;
        plain = true;
    }
    tl_str_finish(&word);
    return ok && ((s->n_words && *s->words[0]) ||
                  tl_err_set(err, TL_USAGE, "no program was named; write exec:%s", tl_exec_spec_argument));
}

bool tl_exec_spec_parse(const char *arg, struct tl_exec_spec *out, struct tl_err *err)
{
    if (!arg) arg = "";
    size_t n = strlen(arg);
    bool *quoted = calloc(n + 1, sizeof *quoted);
    *out = (struct tl_exec_spec){.timeout_s = 120, .start_s = 30, .workers = 1, .retries = 3};
    bool ok = (quoted || tl_err_set(err, TL_FAIL, "out of memory")) && mark_quoted(arg, n, quoted, err) &&
              cut_settings(out, arg, quoted, &n, err) && cut_words(out, arg, n, err);
    free(quoted);
    if (!ok) tl_exec_spec_finish(out);
    return ok;
}

void tl_exec_spec_finish(struct tl_exec_spec *s)
{
    for (size_t i = 0; i < s->n_words; i++) free(s->words[i]);
    free(s->words);
    free(s->program);
    free(s->log);
    *s = (struct tl_exec_spec){0};
}

/* ---- the program ---- */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Where ",KEY=" stands in what should be a program's name; NULL: nowhere. */
static const char *find_setting(const char *text)
{
    for (const char *comma = text; (comma = strchr(comma, ',')) != NULL; comma++)
        for (size_t i = 0; i < N_KEYS; i++)
            if (strncmp(comma + 1, keys[i], strlen(keys[i])) == 0 && comma[1 + strlen(keys[i])] == '=')
                return comma;
    return NULL;
}

static bool refuse_program(const char *path, struct tl_err *err)
{
    struct stat st;
    const char *setting = find_setting(path);
    if (stat(path, &st) != 0 && setting)
        return tl_err_set(
            err, TL_USAGE,
            "there is no program %s; '%s' looks like a setting: settings stand at the very end, "
            "a value with spaces in quotes (log='a file')",
            path, setting);
    if (stat(path, &st) != 0)
        return tl_err_set(err, TL_USAGE, "there is no program %s (%s)%s", path, strerror(errno),
                          path[0] == '~' ? "; '~' is not replaced here: write the whole path" : "");
    if (S_ISDIR(st.st_mode)) return tl_err_set(err, TL_USAGE, "%s is a folder, no program", path);
    if (!S_ISREG(st.st_mode)) return tl_err_set(err, TL_USAGE, "%s is no program", path);
    return tl_err_set(err, TL_USAGE, "%s cannot be run (%s): make it executable (chmod +x %s)", path,
                      strerror(EACCES), path);
}

static char *look_up(const char *name)
{
    const char *path = getenv("PATH");
    if (!path) path = "/usr/local/bin:/usr/bin:/bin";
    for (size_t n; *path; path += n + (path[n] == ':')) {
        struct tl_str file = {0};
        n = strcspn(path, ":");
        tl_str_printf(&file, "%.*s/%s", n ? (int)n : 1, n ? path : ".", name);
        if (!file.failed && is_file(file.data) && access(file.data, X_OK) == 0) return file.data;
        tl_str_finish(&file);
    }
    return NULL;
}

bool tl_exec_spec_find(struct tl_exec_spec *s, struct tl_err *err)
{
    const char *name = s->words[0];
    s->from_path = !strchr(name, '/');
    if (s->from_path) {
        s->program = look_up(name);
        if (!s->program && find_setting(name)) return refuse_program(name, err);
        return s->program || tl_err_set(err, TL_USAGE, "there is no program '%s' in PATH%s%s", name,
                                        is_file(name) ? "; for the one in this folder write ./" : "",
                                        is_file(name) ? name : "");
    }
    if (!is_file(name) || access(name, X_OK) != 0) return refuse_program(name, err);
    s->program = strdup(name);
    return s->program || tl_err_set(err, TL_FAIL, "out of memory");
}
