// The engine alone, without Triton: load FILE GPU|CPU says how the file was loaded, or why not (exit 1).
#include <cstring>
#include <iostream>

#include "engine.h"

int main(int, char** arguments) {
  try {
    const auto engine = load_engine({.path = arguments[1], .shape = {1, 8, 64, 64, 3}, .max_batch = 2,
                                     .is_for_gpu = std::strcmp(arguments[2], "GPU") == 0});
    std::cout << engine->description() << std::endl;
  } catch (const std::exception& exception) {
    std::cout << exception.what() << std::endl;
    return 1;
  }
}
