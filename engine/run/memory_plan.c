#include "run/memory_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

const char *const tl_dtype_choices[] = {[TL_F32] = "f32", [TL_F16] = "f16", [TL_BF16] = "bf16", NULL};

void tl_memory_plan_take(const struct tl_device *planning, struct tl_memory_plan *out)
{
    const struct tl_planned_part *parts;
    size_t n = tl_device_planning_parts(planning, &parts), total = tl_device_planning_peak(planning, NULL);
    *out = (struct tl_memory_plan){.shared = planning->software};
    for (size_t i = 0; i < n; i++) {
        if (parts[i].at_peak == 0) continue;
        size_t at = out->n++;
        for (; at > 0 && out->rows[at - 1].bytes < parts[i].at_peak; at--) out->rows[at] = out->rows[at - 1];
        out->rows[at] = (struct tl_memory_row){parts[i].name, parts[i].at_peak, parts[i].host};
        *(parts[i].host ? &out->host : &out->device) += parts[i].at_peak;
    }
    out->budgeted = out->shared ? total : out->device;
}

bool tl_memory_parse(const char *text, uint64_t *out, struct tl_err *err)
{
    static const char units[] = "KMGT";
    *out = 0;
    if (!text || !*text) return true;
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;
    for (long k = unit ? unit - units + 1 : 0; k > 0; k--) value *= 1024;
    if (unit) end++;
    if (unit && *end == 'i') end++;
    if (unit && (*end == 'B' || *end == 'b')) end++;
    if (end == text || *end || !isfinite(value) || value < 1 || value > 1e15)
        return tl_err_set(err, TL_USAGE, "'%.40s' is no size: 6G, 6.5G or 800M are", text);
    *out = (uint64_t)value;
    return true;
}

const char *tl_memory_text(uint64_t bytes, char out[32])
{
    double mib = (double)bytes / (1 << 20);
    if (mib >= 1024)
        snprintf(out, 32, "%.2f GiB", mib / 1024);
    else
        snprintf(out, 32, mib < 9.95 ? "%.2f MiB" : "%.0f MiB", mib);
    return out;
}

void tl_memory_plan_line(const struct tl_memory_plan *plan, char *out, size_t size)
{
    char text[32];
    int n = snprintf(out, size, "%s (", tl_memory_text(plan->device + plan->host, text));
    for (size_t i = 0; i < plan->n && i < 3 && n > 0 && (size_t)n < size; i++)
        n += snprintf(out + n, size - (size_t)n, "%s%s %s", i ? "; " : "", plan->rows[i].what,
                      tl_memory_text(plan->rows[i].bytes, text));
    if (n > 0 && (size_t)n < size) snprintf(out + n, size - (size_t)n, "%s)", plan->n > 3 ? "; ..." : "");
}

void tl_memory_plan_log(const struct tl_memory_plan *plan)
{
    char text[32];
    for (size_t i = 0; i < plan->n; i++)
        tl_log(TL_LOG_NOTE, "  %-34s %10s  %s", plan->rows[i].what, tl_memory_text(plan->rows[i].bytes, text),
               plan->rows[i].host ? "program" : "device");
    tl_log(TL_LOG_NOTE, "  %-34s %10s", "sum", tl_memory_text(plan->device + plan->host, text));
}

static uint64_t system_free(void)
{
    char line[128];
    unsigned long long kb = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1) break;
    if (f) fclose(f);
    return kb * 1024;
}

uint64_t tl_memory_free(const struct tl_device *device)
{
    return device->software ? system_free() : 0;
}
