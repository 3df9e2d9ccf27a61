#include <tiller/doctor.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tiller/version.h>

#include "base/str.h"
#include "run/doctor_vulkan.h"
#include "run/listing.h"
#include "tensor/device.h"

/* The processor's name as the kernel has it; nothing is added where it has none. */
static void add_model(cJSON *out)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[512];
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = 0;
        tl_listing_text(out, "model", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (f) fclose(f);
}

static void add_instructions(cJSON *out)
{
#if defined(__x86_64__)
    struct tl_str text = {0};
    if (__builtin_cpu_supports("avx2")) tl_str_append(&text, "avx2 ");
    if (__builtin_cpu_supports("fma")) tl_str_append(&text, "fma ");
    if (__builtin_cpu_supports("avx512f")) tl_str_append(&text, "avx512f ");
    if (__builtin_cpu_supports("avx512vnni")) tl_str_append(&text, "avx512vnni ");
    if (text.len) text.data[text.len - 1] = 0;
    tl_listing_text(out, "instructions", text.len ? text.data : "sse2");
    tl_str_finish(&text);
#else
    (void)out;
#endif
}

static void add_cpu(cJSON *out, const struct tl_job *job)
{
    struct tl_err why = {0};
    struct tl_device *device = tl_device_cpu_open(&(struct tl_device_params){.threads = job->threads}, &why);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    add_model(out);
    add_instructions(out);
    if (pages > 0 && page > 0) tl_listing_count(out, "memory_bytes", (uint64_t)pages * (uint64_t)page);
    tl_listing_text(out, device ? "device" : "problem", device ? device->description : why.text);
    tl_device_close(&device);
}

/* What `job->device` comes to. Names that no device can have are left to the caller as an error. */
static bool add_choice(cJSON *out, const struct tl_job *job, const char *auto_why, struct tl_err *err)
{
    struct tl_err why = {0};
    const char *asked = job->device ? job->device : "auto";
    struct tl_device *device =
        tl_device_open(&(struct tl_device_params){.name = asked, .threads = job->threads}, &why);
    bool ok = device != NULL;
    tl_listing_text(out, "asked", asked);
    tl_listing_text(out, ok ? "takes" : "problem", ok ? device->name : why.text);
    if (ok) tl_listing_text(out, "description", device->description);
    if (ok && strcmp(asked, "auto") == 0) tl_listing_text(out, "why", auto_why);
    tl_device_close(&device);
    if (why.code == TL_USAGE) tl_err_set(err, TL_USAGE, "%s", why.text);
    return ok;
}

char *tl_doctor(const struct tl_doctor_params *params, const struct tl_job *job, bool *out_usable,
                struct tl_err *err)
{
    struct tl_err wrong = {0};
    char why[1200];
    cJSON *out = cJSON_CreateObject();
    tl_listing_text(out, "version", TL_VERSION);
    cJSON *choice = tl_listing_object(out, "device");
    add_cpu(tl_listing_object(out, "cpu"), job);
    tl_doctor_add_vulkan(tl_listing_object(out, "vulkan"), why, sizeof why);
    *out_usable = add_choice(choice, job, why, &wrong);
    if (wrong.code) {
        cJSON_Delete(out);
        tl_err_set(err, wrong.code, "%s", wrong.text);
        return NULL;
    }
    return tl_listing_print(out, "tiller.doctor/1", params->json, err);
}
