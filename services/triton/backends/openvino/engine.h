// A model compiled by OpenVINO for the CPU, and the queue of views that wait for it. Knows nothing of Triton.
//
// It is compiled twice: for several views at once, one thread (or a few) each, and for one view with all threads. The
// first does more views a second, the second is sooner ready with a single one; whether it is, is found out at the start.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <openvino/openvino.hpp>

// One view to infer.
struct View {
  // The graph's input, `Engine::view_bytes()` of it; read in place, so it must stay until `done`.
  const void* pixels;
  // Asked just before the inference: false ends the view with `done(nullptr, "")`.
  std::function<bool()> is_wanted;
  // Called once, on a thread of OpenVINO's: the view's `Engine::classes()` outputs, or nullptr and why.
  std::function<void(const float* output, const std::string& error)> done;
};

// The one rule for which view gets all threads at once: one that is alone, with nothing in work and nothing else waiting, of
// a model for which that is clearly sooner. Any other goes into a stream, so that views never wait for each other's threads.
constexpr bool takes_all_threads(bool is_single_sooner, size_t in_work, size_t waiting) {
  return is_single_sooner && in_work == 0 && waiting == 1;
}
static_assert(takes_all_threads(true, 0, 1));
static_assert(!takes_all_threads(false, 0, 1));
static_assert(!takes_all_threads(true, 0, 2));
static_assert(!takes_all_threads(true, 1, 1));

class Engine {
 public:
  // `shape` is that of one view, as the graph takes it: (1, T, H, W, C). `properties` are OpenVINO's, over the defaults
  // here. Throws ov::Exception where OpenVINO cannot take the file.
  Engine(const std::filesystem::path& file, const ov::Shape& shape, const ov::AnyMap& properties);
  // Waits for the views that are there.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Infers the view when its turn comes; first come, first served, whichever request a view is of.
  void infer(View view);

  size_t view_bytes() const { return view_bytes_; }
  size_t classes() const { return classes_; }
  // What was chosen, for the log.
  const std::string& description() const { return description_; }

 private:
  // A place for one view in work.
  struct Slot {
    ov::InferRequest request;
    View view;
    bool is_busy = false;
  };

  std::unique_ptr<Slot> new_slot(ov::CompiledModel& model);
  Slot* free_slot();
  void feed();
  void start(Slot& slot);
  void finish(Slot& slot, const float* output, const std::string& error);
  double seconds(Slot& slot);

  ov::Shape shape_;
  ov::element::Type type_;
  size_t view_bytes_ = 0;
  size_t classes_ = 0;
  std::string description_;
  bool is_single_sooner_ = false;
  std::vector<std::unique_ptr<Slot>> streams_;
  std::unique_ptr<Slot> single_;

  std::mutex mutex_;  // of what follows, and of is_busy
  std::condition_variable idle_;
  std::deque<View> queue_;
  size_t busy_ = 0;
};
