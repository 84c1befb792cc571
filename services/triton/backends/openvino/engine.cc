#include "engine.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

namespace {

// Views at once: each stream has activations of its own in memory.
constexpr int kMaxStreams = 4;

// How much sooner a single view must be ready with all threads than in a stream: less may be noise.
constexpr double kClearlySooner = 0.8;

// CPUs of this container: its affinity, and its cgroup's quota, version 2 or 1.
int cpus_allowed() {
  cpu_set_t affinity;
  double cpus = sched_getaffinity(0, sizeof affinity, &affinity) == 0 ? CPU_COUNT(&affinity) : 1;
  std::string quota, period;
  std::ifstream("/sys/fs/cgroup/cpu.max") >> quota >> period;
  if (quota.empty()) {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (!quota.empty() && quota != "max" && quota != "-1") cpus = std::min(cpus, std::stod(quota) / std::stod(period));
  return std::max(1, static_cast<int>(std::ceil(cpus)));
}

}  // namespace

Engine::Engine(const std::filesystem::path& file, const ov::Shape& shape, const ov::AnyMap& properties)
    : shape_(shape) {
  const auto threads = properties.count("INFERENCE_NUM_THREADS")
                           ? std::stoi(properties.at("INFERENCE_NUM_THREADS").as<std::string>())
                           : cpus_allowed();
  ov::AnyMap chosen = properties;
  chosen.insert({
      {"PERFORMANCE_HINT", "LATENCY"},
      {"INFERENCE_NUM_THREADS", threads},
      {"NUM_STREAMS", std::min(threads, kMaxStreams)},
      // Pinned, the threads of every process sit on the same first CPUs, beside a decoder or another model's.
      {"ENABLE_CPU_PINNING", false},
  });
  ov::Core core;
  auto model = core.read_model(file);
  // One view at a time, its shape known: docs/engines.md has the figures.
  model->reshape(ov::PartialShape(shape_));
  auto several = core.compile_model(model, "CPU", chosen);
  chosen["NUM_STREAMS"] = 1;
  auto single = core.compile_model(model, "CPU", chosen);
  if (several.output().get_element_type() != ov::element::f32) OPENVINO_THROW("its output is not float32");
  type_ = several.input().get_element_type();
  view_bytes_ = ov::shape_size(shape_) * type_.size();
  classes_ = ov::shape_size(several.output().get_shape());

  const auto streams = std::max(1u, several.get_property(ov::optimal_number_of_infer_requests));
  for (uint32_t i = 0; i < streams; ++i) streams_.push_back(new_slot(several));
  single_ = new_slot(single);
  // The first inferences also allocate; no client should wait for that.
  for (auto& stream : streams_) seconds(*stream);
  auto with_all = std::numeric_limits<double>::max(), in_stream = with_all;
  for (int i = 0; i < 5; ++i) {
    with_all = std::min(with_all, seconds(*single_));
    in_stream = std::min(in_stream, seconds(*streams_[0]));
  }
  is_single_sooner_ = streams > 1 && with_all < kClearlySooner * in_stream;

  std::ostringstream text;
  text << several.get_property(ov::hint::inference_precision) << ", " << threads << " threads, " << streams
       << " streams; a single view by " << (is_single_sooner_ ? "all threads" : "one stream");
  description_ = text.str();
}

Engine::~Engine() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return busy_ == 0 && queue_.empty(); });
  lock.unlock();
  // The last callbacks have still to return. A failure was told to its view.
  const auto wait = [](Slot& slot) {
    try {
      slot.request.wait();
    } catch (const std::exception&) {
    }
  };
  for (auto& stream : streams_) wait(*stream);
  wait(*single_);
}

void Engine::infer(View view) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(view));
  }
  feed();
}

std::unique_ptr<Engine::Slot> Engine::new_slot(ov::CompiledModel& model) {
  auto slot = std::make_unique<Slot>();
  slot->request = model.create_infer_request();
  return slot;
}

// Seconds of one inference of a black view.
double Engine::seconds(Slot& slot) {
  std::vector<unsigned char> view(view_bytes_);
  slot.request.set_input_tensor(ov::Tensor(type_, shape_, view.data()));
  const auto began = std::chrono::steady_clock::now();
  slot.request.infer();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Where the first view of the queue can go now.
Engine::Slot* Engine::free_slot() {
  if (single_->is_busy) return nullptr;
  if (takes_all_threads(is_single_sooner_, busy_, queue_.size())) return single_.get();
  for (auto& stream : streams_) {
    if (!stream->is_busy) return stream.get();
  }
  return nullptr;
}

// Starts as many views as there is room for.
void Engine::feed() {
  for (;;) {
    Slot* slot = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (queue_.empty() || (slot = free_slot()) == nullptr) return;
      slot->view = std::move(queue_.front());
      queue_.pop_front();
      slot->is_busy = true;
      ++busy_;
    }
    if (slot->view.is_wanted()) {
      start(*slot);
    } else {
      finish(*slot, nullptr, "");
    }
  }
}

void Engine::start(Slot& slot) {
  try {
    // OpenVINO has no tensor of constant memory, and does not write to an input.
    slot.request.set_input_tensor(ov::Tensor(type_, shape_, const_cast<void*>(slot.view.pixels)));
    slot.request.set_callback([this, &slot](std::exception_ptr failure) {
      std::string error;
      try {
        if (failure) std::rethrow_exception(failure);
      } catch (const std::exception& exception) {
        error = exception.what();
      }
      finish(slot, failure ? nullptr : slot.request.get_output_tensor().data<const float>(), error);
      feed();
    });
    slot.request.start_async();
  } catch (const std::exception& exception) {
    finish(slot, nullptr, exception.what());
  }
}

// Hands the output over, and frees the slot after that, since the output is in it.
void Engine::finish(Slot& slot, const float* output, const std::string& error) {
  slot.view.done(output, error);
  slot.view = {};
  std::lock_guard lock(mutex_);
  slot.is_busy = false;
  --busy_;
  if (busy_ == 0 && queue_.empty()) idle_.notify_all();
}
