/* CUDA's runtime library on a processor, as far as the agent uses it: memory is the host's, a stream does at once
   what is begun in it, and what is begun while it is captured is kept for the launch of its graph.

   STANDIN_CUDA_FAILS=NAME:CODE   that call fails with this code
   STANDIN_CUDA_DEVICES=N         so many GPUs
   -DVERSION=11030                the version that it says; below 11040 without cudaGraphInstantiateWithFlags */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef VERSION
#define VERSION 12040
#endif
#define INVALID_VALUE 1
#define STREAM 0x5354524d
#define LONGEST 64

typedef void (*Action)(void *);
typedef struct { Action action; void *argument; } Step;
typedef struct { int kind, count; Step steps[LONGEST]; } Graph;
typedef struct { int kind; Graph *capturing; } Stream;
typedef struct { double ms; int recorded; } Event;

static int live, last_error;

int standin_live(void) { return live; }

static int fails(const char *name) {
    const char *text = getenv("STANDIN_CUDA_FAILS");
    size_t length = strlen(name);
    if (text && !strncmp(text, name, length) && text[length] == ':') return last_error = atoi(text + length + 1);
    return 0;
}
#define CHECK(name) do { int code = fails(name); if (code) return code; } while (0)
#define REFUSE(condition) do { if (condition) return last_error = INVALID_VALUE; } while (0)

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* what the stand-in for TensorRT begins in a stream; tells whether that can be captured */
int standin_enqueue(void *stream, Action action, void *argument) {
    Stream *one = stream;
    REFUSE(!one || one->kind != STREAM);
    if (!one->capturing) { action(argument); return 0; }
    CHECK("capture");
    REFUSE(one->capturing->count == LONGEST);
    one->capturing->steps[one->capturing->count++] = (Step){action, argument};
    return 0;
}

const char *cudaGetErrorString(int code) {
    return code == 2 ? "out of memory" : code == 35 ? "CUDA driver version is insufficient for CUDA runtime version"
         : code == 900 ? "operation not permitted when stream is capturing" : code == 1 ? "invalid argument" : "some error";
}
int cudaGetLastError(void) { int code = last_error; last_error = 0; return code; }

int cudaGetDeviceCount(int *count) {
    CHECK("cudaGetDeviceCount");
    const char *text = getenv("STANDIN_CUDA_DEVICES");
    *count = text ? atoi(text) : 1;
    return 0;
}
int cudaSetDevice(int device) { CHECK("cudaSetDevice"); REFUSE(device != 0); return 0; }
int cudaSetDeviceFlags(unsigned flags) { CHECK("cudaSetDeviceFlags"); REFUSE(flags != 1); return 0; }
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    CHECK("cudaDeviceGetAttribute");
    REFUSE(device != 0);
    switch (attribute) {
        case 75: *value = 8; return 0;
        case 76: *value = 7; return 0;
        case 38: *value = 1 << 20; return 0;
        case 16: *value = 4; return 0;
        default: return last_error = INVALID_VALUE;
    }
}
int cudaGetDeviceProperties(void *properties, int device) {
    CHECK("cudaGetDeviceProperties");
    memset(properties, 7, 1032);
    strcpy(properties, "Stand-in");
    return device != 0;
}
int cudaRuntimeGetVersion(int *version) { *version = VERSION; return 0; }
int cudaDriverGetVersion(int *version) { *version = 13000; return 0; }
int cudaMemGetInfo(size_t *free_bytes, size_t *whole) { *free_bytes = 1u << 30; *whole = 3u << 30; return 0; }

int cudaMalloc(void **memory, size_t size) { CHECK("cudaMalloc"); *memory = malloc(size); live++; return 0; }
int cudaFree(void *memory) { CHECK("cudaFree"); live -= memory != 0; free(memory); return 0; }
int cudaMallocHost(void **memory, size_t size) { CHECK("cudaMallocHost"); *memory = malloc(size); live++; return 0; }
int cudaFreeHost(void *memory) { CHECK("cudaFreeHost"); live -= memory != 0; free(memory); return 0; }
int cudaMemcpyAsync(void *target, const void *source, size_t size, int kind, void *stream) {
    CHECK("cudaMemcpyAsync");
    REFUSE(((Stream *)stream)->kind != STREAM || (kind != 1 && kind != 2));
    memcpy(target, source, size);
    return 0;
}
int cudaMemsetAsync(void *target, int value, size_t size, void *stream) {
    CHECK("cudaMemsetAsync");
    REFUSE(((Stream *)stream)->kind != STREAM);
    memset(target, value, size);
    return 0;
}

int cudaStreamCreateWithFlags(void **stream, unsigned flags) {
    CHECK("cudaStreamCreateWithFlags");
    REFUSE(flags != 1);
    Stream *made = calloc(1, sizeof *made);
    made->kind = STREAM;
    *stream = made;
    live++;
    return 0;
}
int cudaStreamDestroy(void *stream) { free(stream); live--; return 0; }
int cudaStreamSynchronize(void *stream) {
    CHECK("cudaStreamSynchronize");
    REFUSE(((Stream *)stream)->capturing);
    return 0;
}
int cudaStreamBeginCapture(void *stream, int mode) {
    CHECK("cudaStreamBeginCapture");
    REFUSE(mode != 1 || ((Stream *)stream)->capturing);
    ((Stream *)stream)->capturing = calloc(1, sizeof(Graph));
    live++;
    return 0;
}
int cudaStreamEndCapture(void *stream, void **graph) {
    Graph *made = ((Stream *)stream)->capturing;
    REFUSE(!made);
    ((Stream *)stream)->capturing = 0;
    if (fails("cudaStreamEndCapture")) { free(made); live--; *graph = 0; return last_error; }
    *graph = made;
    return 0;
}

int cudaEventCreateWithFlags(void **event, unsigned flags) {
    CHECK("cudaEventCreateWithFlags");
    REFUSE(flags != 0);
    *event = calloc(1, sizeof(Event));
    live++;
    return 0;
}
int cudaEventRecord(void *event, void *stream) {
    CHECK("cudaEventRecord");
    REFUSE(((Stream *)stream)->kind != STREAM);
    *(Event *)event = (Event){now_ms(), 1};
    return 0;
}
int cudaEventSynchronize(void *event) { CHECK("cudaEventSynchronize"); REFUSE(!((Event *)event)->recorded); return 0; }
int cudaEventElapsedTime(float *ms, void *start, void *end) {
    CHECK("cudaEventElapsedTime");
    REFUSE(!((Event *)start)->recorded || !((Event *)end)->recorded);
    *ms = (float)(((Event *)end)->ms - ((Event *)start)->ms);
    return 0;
}
int cudaEventDestroy(void *event) { free(event); live--; return 0; }

static int instantiate(void **executable, void *graph) {
    CHECK("cudaGraphInstantiate");
    *executable = malloc(sizeof(Graph));
    memcpy(*executable, graph, sizeof(Graph));
    live++;
    return 0;
}
#if VERSION >= 12000
int cudaGraphInstantiate(void **executable, void *graph, unsigned long long flags) {
    REFUSE(flags != 0);
    return instantiate(executable, graph);
}
#else
int cudaGraphInstantiate(void **executable, void *graph, void **node, char *log, size_t size) {
    REFUSE(node || log || size);
    return instantiate(executable, graph);
}
#endif
#if VERSION >= 11040
int cudaGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    REFUSE(flags != 0);
    return instantiate(executable, graph);
}
#endif
int cudaGraphLaunch(void *executable, void *stream) {
    CHECK("cudaGraphLaunch");
    REFUSE(((Stream *)stream)->kind != STREAM);
    Graph *graph = executable;
    for (int index = 0; index < graph->count; index++) graph->steps[index].action(graph->steps[index].argument);
    return 0;
}
int cudaGraphExecDestroy(void *executable) { free(executable); live--; return 0; }
int cudaGraphDestroy(void *graph) { free(graph); live--; return 0; }
