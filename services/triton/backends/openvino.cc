// OpenVINO on the CPU. A model is compiled twice: for several views at once, one thread (or a few) each, and for one view with
// all threads. The first does more views a second, the second is sooner ready with a single one; whether it is, is found out
// at the start.
//
// Parameters of the config, all optional and named as OpenVINO's properties: INFERENCE_PRECISION_HINT (f32, bf16; default:
// the CPU's best), PERFORMANCE_HINT (default LATENCY), INFERENCE_NUM_THREADS (default: the CPUs this container may use),
// NUM_STREAMS (default: as many as threads, at most 4).
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <sstream>

#include <openvino/openvino.hpp>

#include "cpus.h"
#include "engine.h"

const char* const kEngineName = "OpenVINO";

namespace {

constexpr const char* kProperties[] = {"INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "INFERENCE_NUM_THREADS",
                                       "NUM_STREAMS"};

// Views at once: each stream has activations of its own in memory.
constexpr int kMaxStreams = 4;

// How much sooner a single view must be ready with all threads than in a stream: less may be noise.
constexpr double kClearlySooner = 0.8;

// The one rule for which view gets all threads at once: one that is alone, with nothing in work and nothing else waiting, of
// a model for which that is clearly sooner. Any other goes into a stream, so that views never wait for each other's threads.
constexpr bool takes_all_threads(bool is_single_sooner, size_t in_work, size_t waiting) {
  return is_single_sooner && in_work == 0 && waiting == 1;
}
static_assert(takes_all_threads(true, 0, 1));
static_assert(!takes_all_threads(false, 0, 1));
static_assert(!takes_all_threads(true, 0, 2));
static_assert(!takes_all_threads(true, 1, 1));

class OpenvinoEngine final : public Engine {
 public:
  explicit OpenvinoEngine(const ModelFile& file);
  ~OpenvinoEngine() override;

  void infer(View view) override;
  size_t view_bytes() const override { return view_bytes_; }
  size_t classes() const override { return classes_; }
  std::string description() const override { return description_; }

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

OpenvinoEngine::OpenvinoEngine(const ModelFile& file) : shape_(file.shape.begin(), file.shape.end()) {
  ov::AnyMap properties;
  for (const auto* name : kProperties) {
    if (const auto found = file.parameters.find(name); found != file.parameters.end()) properties[name] = found->second;
  }
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
  auto model = core.read_model(file.path);
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

OpenvinoEngine::~OpenvinoEngine() {
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

void OpenvinoEngine::infer(View view) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(view));
  }
  feed();
}

std::unique_ptr<OpenvinoEngine::Slot> OpenvinoEngine::new_slot(ov::CompiledModel& model) {
  auto slot = std::make_unique<Slot>();
  slot->request = model.create_infer_request();
  return slot;
}

// Seconds of one inference of a black view.
double OpenvinoEngine::seconds(Slot& slot) {
  std::vector<unsigned char> view(view_bytes_);
  slot.request.set_input_tensor(ov::Tensor(type_, shape_, view.data()));
  const auto began = std::chrono::steady_clock::now();
  slot.request.infer();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Where the first view of the queue can go now.
OpenvinoEngine::Slot* OpenvinoEngine::free_slot() {
  if (single_->is_busy) return nullptr;
  if (takes_all_threads(is_single_sooner_, busy_, queue_.size())) return single_.get();
  for (auto& stream : streams_) {
    if (!stream->is_busy) return stream.get();
  }
  return nullptr;
}

// Starts as many views as there is room for.
void OpenvinoEngine::feed() {
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

void OpenvinoEngine::start(Slot& slot) {
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
void OpenvinoEngine::finish(Slot& slot, const float* output, const std::string& error) {
  slot.view.done(output, error);
  slot.view = {};
  std::lock_guard lock(mutex_);
  slot.is_busy = false;
  --busy_;
  if (busy_ == 0 && queue_.empty()) idle_.notify_all();
}

}  // namespace

std::unique_ptr<Engine> load_engine(const ModelFile& file) { return std::make_unique<OpenvinoEngine>(file); }
