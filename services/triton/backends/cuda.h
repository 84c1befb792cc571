// The little of CUDA that the engine needs beside ONNX Runtime. Everything is looked up by name as it runs, so the same code
// is built without CUDA's headers and loads where there is no driver. Never run on a GPU.
#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace cuda {

// Of the libraries in the image; its first driver is 580.
inline constexpr int kVersion = 13000;

template <typename Function>
Function look_up(void* library, const char* name) {
  auto* found = reinterpret_cast<Function>(dlsym(library, name));
  if (found == nullptr) throw std::runtime_error(std::string("no GPU can be used: ") + name + " is not in its library");
  return found;
}

// Throws, in words, where this container has no GPU of this number that the image's libraries can use.
inline void require_gpu(int gpu) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    throw std::runtime_error("there is no GPU: the driver's libcuda.so.1 is not in this container");
  }
  int version = 0, count = 0;
  if (look_up<int (*)(int*)>(driver, "cuDriverGetVersion")(&version) == 0 && version < kVersion) {
    throw std::runtime_error("the GPU's driver is too old: it is of CUDA " + std::to_string(version / 1000) + "." +
                             std::to_string(version % 1000 / 10) + ", and driver 580 of CUDA 13.0 is the oldest that will do");
  }
  int result = look_up<int (*)(unsigned)>(driver, "cuInit")(0);
  if (result == 0) result = look_up<int (*)(int*)>(driver, "cuDeviceGetCount")(&count);
  if (result != 0) {
    const char* name = nullptr;
    look_up<int (*)(int, const char**)>(driver, "cuGetErrorName")(result, &name);
    throw std::runtime_error("there is no GPU: the driver says " + std::string(name ? name : std::to_string(result).c_str()));
  }
  if (gpu >= count) {
    throw std::runtime_error("there is no GPU " + std::to_string(gpu) + ": the driver shows " + std::to_string(count));
  }
}

// Between host and device, in either direction; returns when the bytes are there. By the runtime library that ONNX Runtime's
// provider has loaded.
inline void copy(void* to, const void* from, size_t bytes) {
  static const auto memcpy_of = [] {
    void* runtime = dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD);
    if (runtime == nullptr) throw std::runtime_error("libcudart.so.13 is not loaded");
    return look_up<int (*)(void*, const void*, size_t, int)>(runtime, "cudaMemcpy");
  }();
  constexpr int kByAddress = 4;  // cudaMemcpyDefault
  if (const int result = memcpy_of(to, from, bytes, kByAddress); result != 0) {
    throw std::runtime_error("cudaMemcpy failed: error " + std::to_string(result));
  }
}

}  // namespace cuda
