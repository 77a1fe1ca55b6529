/* A driver's management library as its header describes it, for tests: what it answers stands in the file FAKE_NVML.
 *
 * Lines: `driver R`, `gpu N R LOAD TOTAL USED ENCODER ENCODER_R SESSIONS`, `process N PID BYTES`, `sample N PID LOAD ENCODER`.
 * R is a return code, 0 for success. A GPU's handle is its number plus one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned int pid; unsigned long long usedGpuMemory; unsigned int gpuInstanceId, computeInstanceId; } nvmlProcessInfo_t;
typedef struct { unsigned int pid; unsigned long long timeStamp; unsigned int smUtil, memUtil, encUtil, decUtil; } nvmlProcessUtilizationSample_t;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, UNINITIALIZED = 1, MOST = 16 };

typedef struct { int result; unsigned load; unsigned long long total, used; unsigned encoder; int encoder_result; unsigned long long sessions; } Gpu;
typedef struct { unsigned gpu, pid; unsigned long long bytes; } Held;
typedef struct { unsigned gpu, pid, load, encoder; } Sampled;
typedef struct { int driver; unsigned gpus, held_count, sampled_count; Gpu gpu[MOST]; Held held[MOST]; Sampled sampled[MOST]; } Script;

static int is_open = 0;

static Script script(void) {
    Script s;
    memset(&s, 0, sizeof s);
    FILE *file = fopen(getenv("FAKE_NVML"), "r");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        unsigned n;
        Gpu g;
        Held h;
        Sampled p;
        sscanf(line, "driver %d", &s.driver);
        if (sscanf(line, "gpu %u %d %u %llu %llu %u %d %llu", &n, &g.result, &g.load, &g.total, &g.used, &g.encoder,
                   &g.encoder_result, &g.sessions) == 8 && n < MOST) {
            s.gpu[n] = g;
            s.gpus = n + 1 > s.gpus ? n + 1 : s.gpus;
        }
        if (sscanf(line, "process %u %u %llu", &h.gpu, &h.pid, &h.bytes) == 3 && s.held_count < MOST) s.held[s.held_count++] = h;
        if (sscanf(line, "sample %u %u %u %u", &p.gpu, &p.pid, &p.load, &p.encoder) == 4 && s.sampled_count < MOST)
            s.sampled[s.sampled_count++] = p;
    }
    if (file) fclose(file);
    return s;
}

/* A driver that is gone has to be opened anew; one that merely failed (999) has not. */
static nvmlReturn_t refused(int driver) {
    is_open = is_open && driver == 999;
    return driver;
}

/* What every call about a GPU begins with. */
static nvmlReturn_t found(nvmlDevice_t device, Script *s, unsigned *n) {
    *s = script();
    if (s->driver) return refused(s->driver);
    if (!is_open) return UNINITIALIZED;
    *n = (unsigned)((size_t)device - 1);
    if (*n >= s->gpus) return INVALID_ARGUMENT;
    return s->gpu[*n].result;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    nvmlReturn_t driver = script().driver;
    is_open = !driver;
    return driver;
}

nvmlReturn_t nvmlShutdown(void) { is_open = 0; return SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t result) { return result == 15 ? "GPU is lost" : "an error of the driver"; }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    Script s = script();
    if (s.driver) return refused(s.driver);
    if (!is_open) return UNINITIALIZED;
    *count = s.gpus;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    Script s;
    unsigned n;
    *device = (nvmlDevice_t)(size_t)(index + 1);
    return found(*device, &s, &n);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    Script s;
    unsigned n;
    nvmlReturn_t result = found(device, &s, &n);
    if (!result) snprintf(name, length, "Fake %u", n);
    return result;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    Script s;
    unsigned n;
    nvmlReturn_t result = found(device, &s, &n);
    if (result) return result;
    memory->total = s.gpu[n].total;
    memory->used = s.gpu[n].used;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *used) {
    Script s;
    unsigned n;
    nvmlReturn_t result = found(device, &s, &n);
    if (result) return result;
    used->gpu = s.gpu[n].load;
    used->memory = 0;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *used, unsigned int *period_us) {
    Script s;
    unsigned n;
    nvmlReturn_t result = found(device, &s, &n);
    if (result || s.gpu[n].encoder_result) return result ? result : s.gpu[n].encoder_result;
    *used = s.gpu[n].encoder;
    *period_us = 167000;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderStats(nvmlDevice_t device, unsigned int *sessions, unsigned int *fps, unsigned int *latency) {
    Script s;
    unsigned n;
    nvmlReturn_t result = found(device, &s, &n);
    if (result || s.gpu[n].encoder_result) return result ? result : s.gpu[n].encoder_result;
    *sessions = (unsigned)s.gpu[n].sessions;
    *fps = *latency = 0;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    Script s;
    unsigned n, room = *count, all = 0;
    nvmlReturn_t result = found(device, &s, &n);
    if (result) return result;
    for (unsigned at = 0; at < s.held_count; at++) {
        if (s.held[at].gpu != n) continue;
        if (all < room) {
            nvmlProcessInfo_t info = {s.held[at].pid, s.held[at].bytes, 0xffffffffu, 0xffffffffu};
            infos[all] = info;
        }
        all++;
    }
    *count = all;
    return all > room ? INSUFFICIENT_SIZE : SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples, unsigned int *count,
                                             unsigned long long since_us) {
    Script s;
    unsigned n, room = samples ? *count : 0, all = 0;
    nvmlReturn_t result = found(device, &s, &n);
    if (result) return result;
    for (unsigned at = 0; at < s.sampled_count; at++) {
        if (s.sampled[at].gpu != n) continue;
        if (all < room) {
            nvmlProcessUtilizationSample_t one = {s.sampled[at].pid, since_us + 1000000, s.sampled[at].load, 0, s.sampled[at].encoder, 0};
            samples[all] = one;
        }
        all++;
    }
    *count = all;
    return all == 0 ? NOT_FOUND : all > room ? INSUFFICIENT_SIZE : SUCCESS;
}
