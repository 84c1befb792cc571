// The seam between Triton's side (backend.cc) and the library that infers: openvino.cc or onnxruntime.cc is linked to it.
// Neither knows the other, and an engine knows nothing of Triton.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

// One view to infer.
struct View {
  // The graph's input, `Engine::view_bytes()` of it, in the host's memory; read in place, so it must stay until `done`.
  const void* pixels;
  // Asked just before the inference: false ends the view with `done(nullptr, "")`.
  std::function<bool()> is_wanted;
  // Called once, on a thread of the engine's: the view's `Engine::classes()` outputs, or nullptr and why.
  std::function<void(const float* output, const std::string& error)> done;
};

// What a model folder says.
struct ModelFile {
  std::filesystem::path path;
  // Of one view, as the graph takes it: (1, T, H, W, C).
  std::vector<int64_t> shape = {};
  // Most views of one call of the graph, where the engine calls it with several.
  size_t max_batch;
  // Whether the instance group is of KIND_GPU, and which GPU it names first.
  bool is_for_gpu = false;
  int gpu = 0;
  // The config's, as they stand.
  std::map<std::string, std::string> parameters = {};
};

// A model, and the queue of views that wait for it.
class Engine {
 public:
  Engine() = default;
  // Waits for the views that are there.
  virtual ~Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Infers the view when its turn comes; first come, first served, whichever request a view is of.
  virtual void infer(View view) = 0;

  virtual size_t view_bytes() const = 0;
  virtual size_t classes() const = 0;
  // What was chosen, for the log.
  virtual std::string description() const = 0;
};

// The library's name, for messages.
extern const char* const kEngineName;

// Throws std::exception where the library cannot take the file as the folder wants it served.
std::unique_ptr<Engine> load_engine(const ModelFile& file);
