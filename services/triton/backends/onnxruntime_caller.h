// One thread's calls of an ONNX Runtime session: where its batch is gathered, and how that reaches the device.
//
// On the CPU, views that lie side by side are read where they are. On a GPU a batch is always gathered, in pinned memory, for
// only from there can one caller's copy go beside another's computing. With `replays` each size of a batch is recorded as a
// CUDA graph, which wants its input and output at the same addresses for ever. Of the GPU's part nothing was ever run.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

#include "cuda.h"

// What of a loaded file a call needs.
struct Graph {
  std::string input, output;
  std::vector<int64_t> shape;  // of one view
  size_t view_bytes;
  size_t max_batch;
};

class Caller {
 public:
  // `gpu`: its number, or -1 for the CPU.
  Caller(Ort::Session& session, const Graph& graph, int gpu, bool replays)
      : session_(session), graph_(graph), gpu_(gpu), is_recording_(replays) {
    if (gpu_ >= 0) pin();
    if (!pinned_) {
      pageable_.resize(graph_.view_bytes * graph_.max_batch);
      staged_ = pageable_.data();
    }
    if (is_recording_) record();
  }

  bool is_pinned() const { return pinned_.has_value(); }

  // One inference of black views; returns the outputs of one.
  size_t warm_up(size_t views) {
    std::memset(staged_, 0, graph_.view_bytes * views);
    return (graphs_.empty() ? run(staged_, views) : replay(views)).size() / views;
  }

  // The outputs of these views, one view's after another's; in place until the next call.
  std::span<const float> infer(const std::vector<const void*>& views) {
    const auto* first = static_cast<const char*>(views[0]);
    bool is_one = gpu_ < 0;
    for (size_t i = 0; i < views.size(); ++i) is_one = is_one && views[i] == first + i * graph_.view_bytes;
    if (is_one) return run(first, views.size());
    for (size_t i = 0; i < views.size(); ++i) {
      std::memcpy(staged_ + i * graph_.view_bytes, views[i], graph_.view_bytes);
    }
    return graphs_.empty() ? run(staged_, views.size()) : replay(views.size());
  }

 private:
  struct Recorded {
    Ort::IoBinding binding;
    Ort::RunOptions options;
  };

  static Ort::MemoryInfo host() { return Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault); }

  Ort::MemoryInfo pinned() const { return {"CudaPinned", OrtDeviceAllocator, gpu_, OrtMemTypeCPU}; }

  void pin() {
    try {
      pinning_.emplace(session_, pinned());
      pinned_.emplace(pinning_->GetAllocation(graph_.view_bytes * graph_.max_batch));
      staged_ = static_cast<char*>(pinned_->get());
      std::memset(staged_, 0, graph_.view_bytes);
      run(staged_, 1);
    } catch (const Ort::Exception&) {
      pinned_.reset();  // plain memory is slower, and no reason to refuse the model; the description says so
    }
  }

  std::vector<int64_t> shape_of(size_t views) const {
    auto shape = graph_.shape;
    shape[0] = static_cast<int64_t>(views);
    return shape;
  }

  Ort::Value input_at(const Ort::MemoryInfo& memory, const void* pixels, size_t views) const {
    const auto shape = shape_of(views);
    // ONNX Runtime has no tensor of constant memory, and does not write to an input.
    return Ort::Value::CreateTensor(memory, const_cast<void*>(pixels), graph_.view_bytes * views, shape.data(), shape.size(),
                                    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
  }

  std::span<const float> run(const void* pixels, size_t views) {
    const auto input = input_at(pinned_ ? pinned() : host(), pixels, views);
    const char* const inputs[] = {graph_.input.c_str()};
    const char* const outputs[] = {graph_.output.c_str()};
    Ort::RunOptions options;
    if (is_recording_) options.AddConfigEntry("gpu_graph_id", "-1");
    answer_ = std::move(session_.Run(options, inputs, &input, 1, outputs, 1)[0]);
    return {answer_.GetTensorData<float>(), answer_.GetTensorTypeAndShapeInfo().GetElementCount()};
  }

  void record() {
    const auto classes = static_cast<int64_t>(run(staged_, 1).size());
    const Ort::MemoryInfo device("Cuda", OrtDeviceAllocator, gpu_, OrtMemTypeDefault);
    device_.emplace(session_, device);
    device_input_.emplace(device_->GetAllocation(graph_.view_bytes * graph_.max_batch));
    device_output_.emplace(device_->GetAllocation(sizeof(float) * static_cast<size_t>(classes) * graph_.max_batch));
    outputs_.resize(static_cast<size_t>(classes) * graph_.max_batch);
    for (size_t views = 1; views <= graph_.max_batch; ++views) {
      Recorded one{Ort::IoBinding(session_), Ort::RunOptions()};
      const int64_t shape[] = {static_cast<int64_t>(views), classes};
      one.binding.BindInput(graph_.input.c_str(), input_at(device, device_input_->get(), views));
      one.binding.BindOutput(graph_.output.c_str(),
                             Ort::Value::CreateTensor<float>(device, static_cast<float*>(device_output_->get()),
                                                             views * static_cast<size_t>(classes), shape, 2));
      one.options.AddConfigEntry("gpu_graph_id", std::to_string(views).c_str());
      graphs_.push_back(std::move(one));
    }
    // A run to choose algorithms and take memory, one to record, one to see that it replays.
    for (size_t views = 1; views <= graph_.max_batch; ++views) {
      for (int i = 0; i < 3; ++i) replay(views);
    }
  }

  std::span<const float> replay(size_t views) {
    auto& [binding, options] = graphs_[views - 1];
    const auto outputs = outputs_.size() / graph_.max_batch * views;
    cuda::copy(device_input_->get(), staged_, graph_.view_bytes * views);
    session_.Run(options, binding);
    cuda::copy(outputs_.data(), device_output_->get(), sizeof(float) * outputs);
    return {outputs_.data(), outputs};
  }

  Ort::Session& session_;
  const Graph& graph_;
  const int gpu_;
  const bool is_recording_;
  char* staged_ = nullptr;
  std::vector<char> pageable_;
  std::vector<float> outputs_;
  // An allocator outlives what is of it.
  std::optional<Ort::Allocator> pinning_, device_;
  std::optional<Ort::MemoryAllocation> pinned_, device_input_, device_output_;
  Ort::Value answer_{nullptr};
  std::vector<Recorded> graphs_;
};
