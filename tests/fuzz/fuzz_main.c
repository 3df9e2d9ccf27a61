/* fuzz                                  lists the targets
 * fuzz TARGET [N [SEED [FIRST]]]        mutants FIRST .. FIRST + N - 1 of a seed number; exit 1 with findings
 * fuzz TARGET --seeds                   the seeds themselves, and which of them the loader takes
 * fuzz TARGET --file FILE               one file, in this process
 *
 * Mutants run in a worker, so that one that dies is told with its number and the rest go on. Findings:
 * what a sanitizer or fuzz_require says, more than a second of CPU time, more than 512 MB. Their files are
 * written to FUZZ_SAVE, a folder, if that is set; so are seeds. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "io/file.h"

enum { MOST_MB = 512, MOST_SECONDS = 1, MOST_FINDINGS = 50, EXIT_MEMORY = 77 };

/* One allocation above the limit is a report; freed memory is kept back in small amounts, so that the peak
 * says something. The leak is libsndfile's: 1.2.0 loses what libvorbis took for a damaged Vorbis header. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "max_allocation_size_mb=512:quarantine_size_mb=8:allocator_release_to_os_interval_ms=-1";
}
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1";
}
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libvorbis\n";
}

struct progress { /* shared with the worker */
    uint64_t next, taken;
};

struct campaign {
    const struct fuzz_target *target;
    struct fuzz_pool pool;
    uint64_t seed, end;
    struct progress *progress;
    FILE *said; /* the worker's stderr */
    int findings;
};

static long peak_mb(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss / 1024;
}

/* In the worker. SIGPROF ends it when the time is over. */
static void work(struct campaign *c)
{
    struct fuzz_bytes mutant = {0};
    const struct itimerval limit = {.it_value = {.tv_sec = MOST_SECONDS}};
    long before = peak_mb();
    for (; c->progress->next < c->end; c->progress->next++) {
        if (ftruncate(STDERR_FILENO, 0) != 0) break;
        fuzz_mutant(c->target, &c->pool, c->seed, c->progress->next, &mutant);
        fuzz_outcome = FUZZ_NOT_SAID;
        setitimer(ITIMER_PROF, &limit, NULL);
        c->target->run(c->target, mutant.data, mutant.n);
        if (fuzz_outcome == FUZZ_TAKEN) c->progress->taken++;
        if (peak_mb() - before > MOST_MB) {
            fprintf(stderr, "%ld MB\n", peak_mb() - before);
            _exit(EXIT_MEMORY);
        }
    }
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    fuzz_bytes_finish(&mutant);
    fuzz_pool_finish(&c->pool);
}

/* The first lines of what the worker said. */
static void print_said(FILE *said)
{
    char line[512];
    rewind(said);
    for (int i = 0; i < 40 && fgets(line, sizeof line, said); i++) fputs(line, stdout);
}

static void save(const struct fuzz_target *target, uint64_t seed, uint64_t index,
                 const struct fuzz_bytes *bytes)
{
    const char *folder = getenv("FUZZ_SAVE");
    if (!folder || !*folder) return;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s-%llu-%llu", folder, target->name, (unsigned long long)seed,
             (unsigned long long)index);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes->data, 1, bytes->n, f) != bytes->n || fclose(f) != 0)
        printf("cannot write %s: %s\n", path, strerror(errno));
}

static void tell(struct campaign *c, int status)
{
    uint64_t index = c->progress->next;
    c->findings++;
    printf("%s: seed %llu mutant %llu: ", c->target->name, (unsigned long long)c->seed,
           (unsigned long long)index);
    if (index >= c->end)
        printf("at the end of the worker\n");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        printf("more than %d s of CPU time\n", MOST_SECONDS);
    else if (WIFSIGNALED(status))
        printf("signal %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status) == EXIT_MEMORY)
        printf("more than %d MB\n", MOST_MB);
    else
        printf("exit %d\n", WEXITSTATUS(status));
    print_said(c->said);
    if (index < c->end) {
        struct fuzz_bytes mutant = {0};
        fuzz_mutant(c->target, &c->pool, c->seed, index, &mutant);
        save(c->target, c->seed, index, &mutant);
        fuzz_bytes_finish(&mutant);
    }
    fflush(stdout);
}

/* One worker, from the next mutant on until it ends or dies. */
static void run_worker(struct campaign *c)
{
    fflush(stdout);
    pid_t pid = fork();
    fuzz_require(pid >= 0);
    if (pid == 0) {
        fuzz_require(dup2(fileno(c->said), STDERR_FILENO) >= 0);
        signal(SIGPROF, SIG_DFL);
        work(c);
        exit(0); /* not _exit: the leak check comes with it */
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (status == 0) return;
    tell(c, status);
    if (c->progress->next < c->end) c->progress->next++;
}

static int run_mutants(const struct fuzz_target *target, uint64_t n, uint64_t seed, uint64_t first)
{
    struct campaign c = {.target = target, .seed = seed, .end = first + n, .said = tmpfile()};
    c.progress = mmap(NULL, sizeof *c.progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fuzz_require(c.said && c.progress != MAP_FAILED);
    fuzz_require(fileno(c.said) > STDERR_FILENO);
    fuzz_scratch_open();
    target->seed(target, &c.pool);
    c.progress->next = first;
    while (c.progress->next < c.end && c.findings < MOST_FINDINGS) run_worker(&c);
    printf("%s: %llu mutants of %zu seeds, %llu taken, %d findings\n", target->name,
           (unsigned long long)(c.progress->next - first), c.pool.n, (unsigned long long)c.progress->taken,
           c.findings);
    fuzz_pool_finish(&c.pool);
    fuzz_scratch_close();
    munmap(c.progress, sizeof *c.progress);
    fclose(c.said);
    return c.findings ? 1 : 0;
}

static int run_one(const struct fuzz_target *target, const char *path)
{
    struct fuzz_pool pool = {0};
    fuzz_scratch_open();
    target->seed(target, &pool); /* it may make what the target needs */
    fuzz_pool_finish(&pool);
    if (path)
        fuzz_pool_add_path(&pool, path);
    else
        target->seed(target, &pool);
    fuzz_talk = true;
    for (size_t i = 0; i < pool.n; i++) {
        if (!path) save(target, 0, i, &pool.seeds[i]);
        printf("%zu: %zu bytes: ", i, pool.seeds[i].n);
        fflush(stdout);
        target->run(target, pool.seeds[i].data, pool.seeds[i].n);
    }
    fuzz_pool_finish(&pool);
    fuzz_scratch_close();
    return 0;
}

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    if (*end || end == text) {
        fprintf(stderr, "fuzz: \"%s\" is no number\n", text);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        for (size_t i = 0; fuzz_target_at(i); i++)
            printf("%-12s %s\n", fuzz_target_at(i)->name, fuzz_target_at(i)->about);
        return 0;
    }
    const struct fuzz_target *target = fuzz_target_find(argv[1]);
    if (!target) {
        fprintf(stderr, "fuzz: no target \"%s\"; fuzz alone lists them\n", argv[1]);
        return 2;
    }
    if (argc == 3 && strcmp(argv[2], "--seeds") == 0) return run_one(target, NULL);
    if (argc == 4 && strcmp(argv[2], "--file") == 0) return run_one(target, argv[3]);
    return run_mutants(target, argc > 2 ? number(argv[2]) : 1000, argc > 3 ? number(argv[3]) : 1,
                       argc > 4 ? number(argv[4]) : 0);
}
