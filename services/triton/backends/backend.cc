// A Triton backend that runs ONNX files, by the engine that it is linked with: OpenVINO on the CPU, ONNX Runtime on a GPU.
//
// A model folder needs no code: `backend: "openvino"` or "onnxruntime" in its config.pbtxt (the names of NVIDIA's own
// backends) and `<version>/model.onnx`, or the file that `default_model_filename` names. One input, one output of float32.
// The config's parameters are the engine's.
//
// The views of a request are read where they are: in the shared-memory region, if that is how they came. Triton keeps a
// region mapped while a request that names it is here. `TRITONBACKEND_ModelInstanceExecute` returns at once, and each
// request is answered when its last view is done: so the engine has the next request's views before it is done with
// this one's, and no thread of it waits for a batch's slowest.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine.h"
#include "triton.h"
#include "turn.h"

namespace {

using nlohmann::json;

// An error as Triton has it; `backend_error` makes it of any exception.
struct Failure : std::runtime_error {
  Failure(TRITONSERVER_Error_Code code, const std::string& message) : std::runtime_error(message), code(code) {}
  TRITONSERVER_Error_Code code;
};

// Throws what a call of Triton's returns.
void check(TRITONSERVER_Error* error) {
  if (error == nullptr) return;
  const std::string message = TRITONSERVER_ErrorMessage(error);
  TRITONSERVER_ErrorDelete(error);
  throw Failure(TRITONSERVER_ERROR_INTERNAL, message);
}

// Where nothing can be done about an error.
void ignore(TRITONSERVER_Error* error) {
  if (error != nullptr) TRITONSERVER_ErrorDelete(error);
}

TRITONSERVER_Error* backend_error(const std::exception& exception) {
  const auto* failure = dynamic_cast<const Failure*>(&exception);
  return TRITONSERVER_ErrorNew(failure ? failure->code : TRITONSERVER_ERROR_INTERNAL, exception.what());
}

uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

json read_config(TRITONBACKEND_Model* model) {
  TRITONSERVER_Message* message = nullptr;
  check(TRITONBACKEND_ModelConfig(model, 1, &message));
  const std::unique_ptr<TRITONSERVER_Message, void (*)(TRITONSERVER_Message*)> owner(
      message, [](TRITONSERVER_Message* m) { ignore(TRITONSERVER_MessageDelete(m)); });
  const char* text = nullptr;
  size_t size = 0;
  check(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
  return json::parse(text, text + size);
}

std::filesystem::path model_file(TRITONBACKEND_Model* model, const json& config) {
  TRITONBACKEND_ArtifactType type;
  const char* folder = nullptr;
  uint64_t version = 0;
  check(TRITONBACKEND_ModelRepository(model, &type, &folder));
  check(TRITONBACKEND_ModelVersion(model, &version));
  const auto place = std::filesystem::path(folder) / std::to_string(version);
  // Triton fills in a name of its own where the config has none, and a newer version may lack the config's.
  const auto named = config.value("default_model_filename", "");
  return !named.empty() && std::filesystem::is_regular_file(place / named) ? place / named : place / "model.onnx";
}

// What the lane has said of the call; `turn.h`.
std::unique_ptr<Turn> read_turn(TRITONBACKEND_Request* request) {
  std::string region;
  int64_t number = -1;
  uint32_t count = 0;
  check(TRITONBACKEND_RequestParameterCount(request, &count));
  for (uint32_t i = 0; i < count; ++i) {
    const char* key = nullptr;
    TRITONSERVER_ParameterType type;
    const void* value = nullptr;
    check(TRITONBACKEND_RequestParameter(request, i, &key, &type, &value));
    if (std::strcmp(key, "cliplane_region") == 0 && type == TRITONSERVER_PARAMETER_STRING) {
      region = static_cast<const char*>(value);
    } else if (std::strcmp(key, "cliplane_turn") == 0 && type == TRITONSERVER_PARAMETER_INT) {
      number = *static_cast<const int64_t*>(value);
    }
  }
  return number < 0 ? std::make_unique<Turn>() : std::make_unique<Turn>(region, static_cast<uint64_t>(number));
}

// One version of one model; its instances share the engine.
struct Model {
  explicit Model(TRITONBACKEND_Model* model) {
    const auto config = read_config(model);
    input = config.at("input").at(0).at("name");
    output = config.at("output").at(0).at("name");
    const int max_batch = config.value("max_batch_size", 0);
    ModelFile file{.path = model_file(model, config), .max_batch = static_cast<size_t>(std::max(max_batch, 1))};
    if (max_batch > 0) file.shape.push_back(1);
    for (const auto& dim : config.at("input").at(0).at("dims")) file.shape.push_back(std::stol(to_text(dim)));
    for (const auto& [name, value] : config.at("parameters").items()) {
      file.parameters[name] = value.at("string_value").get<std::string>();
    }
    if (config.contains("optimization") && config.at("optimization").contains("execution_accelerators")) {
      throw Failure(TRITONSERVER_ERROR_INVALID_ARG, "execution_accelerators: only NVIDIA's own image has them");
    }
    const auto& group = config.at("instance_group").at(0);
    file.is_for_gpu = group.value("kind", "") == "KIND_GPU";
    if (group.contains("gpus") && !group.at("gpus").empty()) file.gpu = group.at("gpus").at(0).get<int>();
    try {
      engine = load_engine(file);
    } catch (const std::exception& exception) {
      throw Failure(TRITONSERVER_ERROR_INVALID_ARG,
                    std::string(kEngineName) + " cannot load " + file.path.string() + ": " + exception.what());
    }
    const auto message = std::string(kEngineName) + ": " + file.path.string() + ", " + engine->description();
    ignore(TRITONSERVER_LogMessage(TRITONSERVER_LOG_INFO, __FILE__, __LINE__, message.c_str()));
  }

  // Whole numbers of 64 bits are text in protobuf's JSON.
  static std::string to_text(const json& number) {
    return number.is_string() ? number.get<std::string>() : number.dump();
  }

  std::string input, output;
  std::unique_ptr<Engine> engine;
};

// A request whose views are being inferred. Answers it and deletes itself when the last one is done.
class Pending {
 public:
  // Queues the request's views.
  static void start(Model& model, TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request* request) {
    auto* pending = new Pending(model, instance, request);
    try {
      pending->turn_ = read_turn(request);
      pending->read_input();
    } catch (const std::exception& exception) {
      pending->fail(exception);
      pending->answer();
      return;
    }
    // Not after the last `infer`: the request may be answered, and this be gone, while it runs.
    const auto views = pending->views_;
    for (size_t view = 0; view < views; ++view) pending->queue(view);
  }

 private:
  Pending(Model& model, TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request* request)
      : model_(model), instance_(instance), request_(request) {}

  // Finds the views: in place where Triton has them in one piece, else copied together.
  void read_input() {
    TRITONBACKEND_Input* input = nullptr;
    uint64_t byte_size = 0;
    uint32_t buffers = 0;
    check(TRITONBACKEND_RequestInput(request_, model_.input.c_str(), &input));
    check(TRITONBACKEND_InputProperties(input, nullptr, nullptr, nullptr, nullptr, &byte_size, &buffers));
    const auto view_bytes = model_.engine->view_bytes();
    if (byte_size == 0 || byte_size % view_bytes != 0) {
      throw Failure(TRITONSERVER_ERROR_INVALID_ARG, "the input is not a whole number of views");
    }
    for (uint32_t i = 0; i < buffers; ++i) {
      const void* buffer = nullptr;
      uint64_t size = 0;
      auto memory = TRITONSERVER_MEMORY_CPU;
      int64_t device = 0;
      check(TRITONBACKEND_InputBuffer(input, i, &buffer, &size, &memory, &device));
      if (memory == TRITONSERVER_MEMORY_GPU) {
        throw Failure(TRITONSERVER_ERROR_UNSUPPORTED, "the input is in a GPU's memory");
      }
      if (size == byte_size) {
        pixels_ = static_cast<const char*>(buffer);
      } else {
        copy_.insert(copy_.end(), static_cast<const char*>(buffer), static_cast<const char*>(buffer) + size);
      }
    }
    if (pixels_ == nullptr) pixels_ = copy_.data();
    views_ = left_ = byte_size / view_bytes;
    output_.resize(views_ * model_.engine->classes());
    input_read_ns_ = now_ns();
  }

  void queue(size_t view) {
    model_.engine->infer({
        .pixels = pixels_ + view * model_.engine->view_bytes(),
        .is_wanted = [this] { return !turn_->is_over() && !is_cancelled(); },
        .done =
            [this, view](const float* output, const std::string& error) {
              const auto classes = model_.engine->classes();
              if (output != nullptr) {
                std::memcpy(output_.data() + view * classes, output, classes * sizeof(float));
              } else if (error.empty()) {
                fail(Failure(TRITONSERVER_ERROR_CANCELLED, "nobody waits for it any more"));
              } else {
                fail(Failure(TRITONSERVER_ERROR_INTERNAL, std::string(kEngineName) + ": " + error));
              }
              if (left_.fetch_sub(1) == 1) answer();
            },
    });
  }

  // By a client that has left, or whose time is over. Lanes do not cancel, but die.
  bool is_cancelled() {
    bool is_cancelled = false;
    ignore(TRITONBACKEND_RequestIsCancelled(request_, &is_cancelled));
    return is_cancelled;
  }

  // The first failure counts.
  void fail(const std::exception& exception) {
    std::lock_guard lock(mutex_);
    if (error_ == nullptr) error_ = backend_error(exception);
  }

  void answer() {
    const auto computed_ns = now_ns();
    TRITONBACKEND_Response* response = nullptr;
    try {
      check(TRITONBACKEND_ResponseNew(&response, request_));
      if (error_ == nullptr) write_output(response);
    } catch (const std::exception& exception) {
      fail(exception);
    }
    const bool is_good = error_ == nullptr;
    if (response != nullptr) {
      ignore(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error_));
    }
    if (error_ != nullptr) TRITONSERVER_ErrorDelete(error_);
    const auto ended_ns = now_ns();
    const auto read_ns = is_good ? input_read_ns_ : computed_ns;
    ignore(TRITONBACKEND_ModelInstanceReportStatistics(instance_, request_, is_good, began_ns_, read_ns, computed_ns,
                                                       ended_ns));
    if (is_good) {
      ignore(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance_, views_, began_ns_, read_ns, computed_ns,
                                                              ended_ns));
    }
    // Only now may Triton let go of the region that the views are in.
    ignore(TRITONBACKEND_RequestRelease(request_, TRITONSERVER_REQUEST_RELEASE_ALL));
    delete this;
  }

  void write_output(TRITONBACKEND_Response* response) {
    const int64_t shape[] = {static_cast<int64_t>(views_), static_cast<int64_t>(model_.engine->classes())};
    TRITONBACKEND_Output* output = nullptr;
    check(TRITONBACKEND_ResponseOutput(response, &output, model_.output.c_str(), TRITONSERVER_TYPE_FP32, shape, 2));
    void* buffer = nullptr;
    auto memory = TRITONSERVER_MEMORY_CPU;
    int64_t device = 0;
    const auto byte_size = output_.size() * sizeof(float);
    check(TRITONBACKEND_OutputBuffer(output, &buffer, byte_size, &memory, &device));
    if (memory == TRITONSERVER_MEMORY_GPU) {
      throw Failure(TRITONSERVER_ERROR_UNSUPPORTED, "the output is in a GPU's memory");
    }
    std::memcpy(buffer, output_.data(), byte_size);
  }

  Model& model_;
  TRITONBACKEND_ModelInstance* instance_;
  TRITONBACKEND_Request* request_;
  const uint64_t began_ns_ = now_ns();
  uint64_t input_read_ns_ = 0;
  const char* pixels_ = nullptr;
  std::unique_ptr<Turn> turn_;
  std::vector<char> copy_;
  size_t views_ = 0;
  std::vector<float> output_;  // (views, classes)
  std::atomic<size_t> left_ = 0;
  std::mutex mutex_;  // of error_
  TRITONSERVER_Error* error_ = nullptr;
};

}  // namespace

// Triton's entry points.
extern "C" {

__attribute__((visibility("default"))) TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
  uint32_t major = 0, minor = 0;
  try {
    check(TRITONBACKEND_ApiVersion(&major, &minor));
  } catch (const std::exception& exception) {
    return backend_error(exception);
  }
  if (major == TRITONBACKEND_API_VERSION_MAJOR && minor >= TRITONBACKEND_API_VERSION_MINOR) return nullptr;
  return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED, "this server's backend API is another one");
}

__attribute__((visibility("default"))) TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  try {
    auto loaded = std::make_unique<Model>(model);
    check(TRITONBACKEND_ModelSetState(model, loaded.get()));
    loaded.release();
  } catch (const std::exception& exception) {
    return backend_error(exception);
  }
  return nullptr;
}

// Waits for the views that are in work.
__attribute__((visibility("default"))) TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  void* state = nullptr;
  if (auto* error = TRITONBACKEND_ModelState(model, &state)) return error;
  delete static_cast<Model*>(state);
  return nullptr;
}

__attribute__((visibility("default"))) TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests, const uint32_t count) {
  TRITONBACKEND_Model* model = nullptr;
  void* state = nullptr;
  if (auto* error = TRITONBACKEND_ModelInstanceModel(instance, &model)) return error;
  if (auto* error = TRITONBACKEND_ModelState(model, &state)) return error;
  for (uint32_t i = 0; i < count; ++i) Pending::start(*static_cast<Model*>(state), instance, requests[i]);
  return nullptr;
}
}
