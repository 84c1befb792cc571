// ONNX Runtime: on a GPU by its CUDA provider, where the instance group is of KIND_GPU, else on the CPU. The tests run the
// latter. Neither stands in for the other: a model that wants the GPU and cannot have it is refused.
//
// Views of all requests are inferred together as they come: while one batch is in work the next one gathers, up to the
// model's `max_batch_size`. Those of one request lie side by side in its region and are read there; others are copied together.
//
// Parameters of the config, all optional, named as ONNX Runtime's options: intra_op_num_threads (default: the CPUs this
// container may use); of the CUDA provider gpu_mem_limit (bytes; default: none, and what it has taken it keeps),
// cudnn_conv_algo_search (default EXHAUSTIVE: DEFAULT has been very slow since 1.20), use_tf32 (default 0: the answers of
// float32).
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <onnxruntime_cxx_api.h>

#include "cpus.h"
#include "engine.h"

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

void append_cuda(Ort::SessionOptions& options, const ModelFile& file) {
  const std::map<std::string, std::string> chosen = {
      {"device_id", std::to_string(file.gpu)},
      {"cudnn_conv_algo_search", parameter(file, "cudnn_conv_algo_search", "EXHAUSTIVE")},
      {"use_tf32", parameter(file, "use_tf32", "0")},
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
  explicit OnnxruntimeEngine(const ModelFile& file) : shape_(file.shape), max_batch_(file.max_batch) {
    const auto threads = std::stoi(parameter(file, "intra_op_num_threads", std::to_string(cpus_allowed())));
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    if (file.is_for_gpu) append_cuda(options, file);
    session_ = Ort::Session(environment(), file.path.c_str(), options);

    const Ort::AllocatorWithDefaultOptions allocator;
    input_ = session_.GetInputNameAllocated(0, allocator).get();
    output_ = session_.GetOutputNameAllocated(0, allocator).get();
    type_ = session_.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType();
    if (type_ != ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8) throw std::runtime_error("its input is not uint8");
    if (session_.GetOutputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
      throw std::runtime_error("its output is not float32");
    }
    view_bytes_ = 1;
    for (const auto dim : shape_) view_bytes_ *= static_cast<size_t>(dim);
    gathered_.resize(view_bytes_ * max_batch_);

    // The first inference of each size also allocates and, on a GPU, searches for algorithms; no client should wait for that.
    const auto began = std::chrono::steady_clock::now();
    for (size_t views = 1; views <= (file.is_for_gpu ? max_batch_ : 1); ++views) {
      classes_ = outputs_of(run(gathered_.data(), views)) / views;
    }
    const std::chrono::duration<double> warm_up = std::chrono::steady_clock::now() - began;
    std::ostringstream text;
    text << Ort::GetVersionString() << ", ";
    if (file.is_for_gpu) {
      text << "CUDA on GPU " << file.gpu;
    } else {
      text << "CPU, " << threads << " threads";
    }
    text << ", batches of up to " << max_batch_ << ", warm-up " << warm_up.count() << " s";
    description_ = text.str();
    worker_ = std::thread([this] { work(); });
  }

  ~OnnxruntimeEngine() override {
    {
      std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_one();
    worker_.join();
  }

  void infer(View view) override {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(view));
    }
    changed_.notify_one();
  }

  size_t view_bytes() const override { return view_bytes_; }
  size_t classes() const override { return classes_; }
  std::string description() const override { return description_; }

 private:
  void work() {
    for (auto views = next_batch(); !views.empty(); views = next_batch()) {
      std::erase_if(views, [](View& view) {
        if (view.is_wanted()) return false;
        view.done(nullptr, "");
        return true;
      });
      if (!views.empty()) infer_batch(views);
    }
  }

  // Waits for views; none: the engine ends.
  std::vector<View> next_batch() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_ending_ || !queue_.empty(); });
    std::vector<View> views;
    while (!queue_.empty() && views.size() < max_batch_) {
      views.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    return views;
  }

  void infer_batch(std::vector<View>& views) {
    Ort::Value answer{nullptr};
    std::string error;
    try {
      answer = run(in_one_piece(views), views.size());
      if (outputs_of(answer) != views.size() * classes_) error = "its output is not (views, classes)";
    } catch (const std::exception& exception) {
      error = exception.what();
    }
    for (size_t i = 0; i < views.size(); ++i) {
      views[i].done(error.empty() ? answer.GetTensorData<float>() + i * classes_ : nullptr, error);
    }
  }

  // The views' pixels: where they are, if they lie side by side, else copied together.
  const void* in_one_piece(const std::vector<View>& views) {
    const auto* first = static_cast<const char*>(views[0].pixels);
    bool is_one = true;
    for (size_t i = 0; i < views.size(); ++i) is_one = is_one && views[i].pixels == first + i * view_bytes_;
    if (is_one) return first;
    for (size_t i = 0; i < views.size(); ++i) std::memcpy(&gathered_[i * view_bytes_], views[i].pixels, view_bytes_);
    return gathered_.data();
  }

  Ort::Value run(const void* pixels, size_t views) {
    auto shape = shape_;
    shape[0] = static_cast<int64_t>(views);
    // ONNX Runtime has no tensor of constant memory, and does not write to an input.
    const auto input = Ort::Value::CreateTensor(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault),
                                                const_cast<void*>(pixels), view_bytes_ * views, shape.data(), shape.size(),
                                                type_);
    const char* const inputs[] = {input_.c_str()};
    const char* const outputs[] = {output_.c_str()};
    return std::move(session_.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 1)[0]);
  }

  static size_t outputs_of(const Ort::Value& answer) { return answer.GetTensorTypeAndShapeInfo().GetElementCount(); }

  std::vector<int64_t> shape_;
  size_t max_batch_;
  Ort::Session session_{nullptr};
  std::string input_, output_, description_;
  ONNXTensorElementDataType type_;
  size_t view_bytes_ = 0;
  size_t classes_ = 0;
  std::vector<char> gathered_;

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<View> queue_;
  bool is_ending_ = false;
  std::thread worker_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const ModelFile& file) { return std::make_unique<OnnxruntimeEngine>(file); }
