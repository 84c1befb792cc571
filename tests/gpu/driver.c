// Stands in for the driver's libcuda.so.1, of a version and with an answer that the environment says: to see what is said
// of a driver that is too old, or has no GPU. It can do nothing else.
#include <stdlib.h>
#include <string.h>

static int from(const char* name) { return getenv(name) ? atoi(getenv(name)) : 0; }
int cuDriverGetVersion(int* version) { *version = from("DRIVER_VERSION"); return 0; }
int cuInit(unsigned flags) { (void)flags; return from("DRIVER_ANSWER"); }
int cuDeviceGetCount(int* count) { *count = from("DRIVER_GPUS"); return 0; }
int cuGetErrorName(int error, const char** name) { *name = error == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN"; return 0; }
