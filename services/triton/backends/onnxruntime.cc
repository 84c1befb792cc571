// ONNX Runtime: on a GPU by its CUDA provider, where the instance group is of KIND_GPU, else on the CPU. The tests run the
// latter. Neither stands in for the other: a model that wants the GPU and cannot have it is refused.
//
// Views of all requests are inferred together as they come: while one batch is in work the next one gathers, up to the
// model's `max_batch_size`. Those of one request lie side by side in its region and are read there; others are copied together.
//
// Parameters of the config, all optional, named as ONNX Runtime's options where it has them: intra_op_num_threads (default:
// the CPUs this container may use); streams, how many batches may be in work at once (default 2 on a GPU, so that one is
// copied while the other is computed, else 1). Of the CUDA provider gpu_mem_limit (bytes; default: none, and what it has
// taken it keeps), cudnn_conv_algo_search (EXHAUSTIVE, the default, or HEURISTIC; DEFAULT has been very slow since 1.20),
// use_tf32 (default 0: the answers of float32), enable_cuda_graph (default 0; 1: each size of a batch is recorded and
// replayed, by one stream).
#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <onnxruntime_cxx_api.h>

#include "cpus.h"
#include "engine.h"
#include "onnxruntime_caller.h"

const char* const kEngineName = "ONNX Runtime";

namespace {

// One for all models. It lives as long as the server; ONNX Runtime reports nothing to anybody from here on.
const Ort::Env& environment() {
  static const Ort::Env* env = [] {
    auto* made = new Ort::Env(ORT_LOGGING_LEVEL_WARNING, "cliplane");
    made->DisableTelemetryEvents();
    return made;
  }();
  return *env;
}

std::string parameter(const ModelFile& file, const char* name, const std::string& otherwise) {
  const auto found = file.parameters.find(name);
  return found == file.parameters.end() ? otherwise : found->second;
}

int number(const ModelFile& file, const char* name, int otherwise, int least, int most) {
  const auto text = parameter(file, name, std::to_string(otherwise));
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw std::runtime_error(std::string(name) + " is '" + text + "', and not a number from " + std::to_string(least) + " to " +
                             std::to_string(most));
  }
  return value;
}

void append_cuda(Ort::SessionOptions& options, const ModelFile& file) {
  cuda::require_gpu(file.gpu);
  const std::map<std::string, std::string> chosen = {
      {"device_id", std::to_string(file.gpu)},
      {"cudnn_conv_algo_search", parameter(file, "cudnn_conv_algo_search", "EXHAUSTIVE")},
      {"use_tf32", parameter(file, "use_tf32", "0")},
      {"enable_cuda_graph", parameter(file, "enable_cuda_graph", "0")},
      {"gpu_mem_limit", parameter(file, "gpu_mem_limit", std::to_string(SIZE_MAX))},
  };
  std::vector<const char*> names, values;
  for (const auto& [name, value] : chosen) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  OrtCUDAProviderOptionsV2* made = nullptr;
  Ort::ThrowOnError(Ort::GetApi().CreateCUDAProviderOptions(&made));
  const std::unique_ptr<OrtCUDAProviderOptionsV2, void (*)(OrtCUDAProviderOptionsV2*)> cuda(
      made, [](OrtCUDAProviderOptionsV2* it) { Ort::GetApi().ReleaseCUDAProviderOptions(it); });
  Ort::ThrowOnError(Ort::GetApi().UpdateCUDAProviderOptions(cuda.get(), names.data(), values.data(), names.size()));
  options.AppendExecutionProvider_CUDA_V2(*cuda);
}

class OnnxruntimeEngine final : public Engine {
 public:
  explicit OnnxruntimeEngine(const ModelFile& file) {
    const auto threads = number(file, "intra_op_num_threads", cpus_allowed(), 1, 1024);
    const bool replays = file.is_for_gpu && number(file, "enable_cuda_graph", 0, 0, 1) == 1;
    const auto streams = replays ? 1 : number(file, "streams", file.is_for_gpu ? 2 : 1, 1, 16);
    const auto& env = environment();  // before the provider, which logs why it cannot be loaded
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    if (file.is_for_gpu) append_cuda(options, file);
    session_ = Ort::Session(env, file.path.c_str(), options);
    graph_ = read_graph(file);

    // The first inference of each size also allocates and, on a GPU, searches for algorithms; no client should wait for that.
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < streams; ++i) {
      callers_.push_back(std::make_unique<Caller>(session_, graph_, file.is_for_gpu ? file.gpu : -1, replays));
    }
    for (size_t views = 1; views <= (file.is_for_gpu ? graph_.max_batch : 1); ++views) {
      for (auto& caller : callers_) classes_ = caller->warm_up(views);
    }
    const std::chrono::duration<double> warm_up = std::chrono::steady_clock::now() - began;
    std::ostringstream text;
    text << Ort::GetVersionString() << ", ";
    if (file.is_for_gpu) {
      text << "CUDA on GPU " << file.gpu << (replays ? ", CUDA graphs" : "")
           << (callers_[0]->is_pinned() ? ", pinned staging" : ", staging could not be pinned");
    } else {
      text << "CPU, " << threads << " threads";
    }
    text << ", batches of up to " << graph_.max_batch << ", " << streams << " at once, warm-up " << warm_up.count() << " s";
    description_ = text.str();
    for (auto& caller : callers_) workers_.emplace_back([this, &caller = *caller] { work(caller); });
  }

  ~OnnxruntimeEngine() override {
    {
      std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  void infer(View view) override {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(view));
    }
    changed_.notify_one();
  }

  size_t view_bytes() const override { return graph_.view_bytes; }
  size_t classes() const override { return classes_; }
  std::string description() const override { return description_; }

 private:
  Graph read_graph(const ModelFile& file) const {
    const Ort::AllocatorWithDefaultOptions allocator;
    if (session_.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) {
      throw std::runtime_error("its input is not uint8");
    }
    if (session_.GetOutputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
      throw std::runtime_error("its output is not float32");
    }
    // A graph that was exported for one view is called with one, whatever the config allows. -1: any number.
    const auto batch = session_.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape().at(0);
    if (batch > 1) throw std::runtime_error("its batch is fixed at " + std::to_string(batch) + ": export it for any number, or for one view");
    size_t view_bytes = 1;
    for (const auto dim : file.shape) view_bytes *= static_cast<size_t>(dim);
    return {.input = session_.GetInputNameAllocated(0, allocator).get(),
            .output = session_.GetOutputNameAllocated(0, allocator).get(),
            .shape = file.shape,
            .view_bytes = view_bytes,
            .max_batch = batch == 1 ? 1 : file.max_batch};
  }

  void work(Caller& caller) {
    for (auto views = next_batch(); !views.empty(); views = next_batch()) {
      std::erase_if(views, [](View& view) {
        if (view.is_wanted()) return false;
        view.done(nullptr, "");
        return true;
      });
      if (!views.empty()) infer_batch(caller, views);
    }
  }

  // Waits for views; none: the engine ends.
  std::vector<View> next_batch() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_ending_ || !queue_.empty(); });
    std::vector<View> views;
    while (!queue_.empty() && views.size() < graph_.max_batch) {
      views.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    return views;
  }

  void infer_batch(Caller& caller, std::vector<View>& views) {
    std::span<const float> outputs;
    std::string error;
    try {
      std::vector<const void*> pixels;
      for (const auto& view : views) pixels.push_back(view.pixels);
      outputs = caller.infer(pixels);
      if (outputs.size() != views.size() * classes_) error = "its output is not (views, classes)";
    } catch (const std::exception& exception) {
      error = exception.what();
    }
    for (size_t i = 0; i < views.size(); ++i) {
      views[i].done(error.empty() ? outputs.data() + i * classes_ : nullptr, error);
    }
  }

  Ort::Session session_{nullptr};
  Graph graph_;
  size_t classes_ = 0;
  std::string description_;
  std::vector<std::unique_ptr<Caller>> callers_;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<View> queue_;
  bool is_ending_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const ModelFile& file) { return std::make_unique<OnnxruntimeEngine>(file); }
