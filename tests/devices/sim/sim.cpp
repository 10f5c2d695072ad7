// A device of torch that is not there: two of them, with tensors of a device type of their own that
// lie in the host's memory, streams with a virtual timeline, events with times, captures, and counted
// memory.
//
// A kernel takes KERNEL seconds of its stream's timeline, whatever it computes. The host goes on at
// once, unless as many kernels stand in the queue as it takes.
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <fcntl.h>
#include <sys/file.h>
#include <torch/extension.h>

#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

using namespace c10;
using at::Tensor;

namespace {

double number(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atof(text) : otherwise;
}

constexpr int MOST = 8;
constexpr double CYCLES = 1e9;  // of a second
const int devices = static_cast<int>(number("SIM_DEVICES", 2));
const size_t memory = static_cast<size_t>(number("SIM_MEMORY", 256 << 20));
const double KERNEL = number("SIM_KERNEL_US", 5) * 1e-6;
const size_t depth = static_cast<size_t>(number("SIM_DEPTH", 1000));

thread_local int current = 0;
thread_local bool on_host = false;  // inside of an operator that the host computes
std::recursive_mutex mutex;

using Key = std::pair<int, int64_t>;  // device, stream
std::map<Key, double> free_at;
std::map<Key, std::deque<double>> queue;
std::map<int, int64_t> stream_of;
std::map<int, double> slept;
std::map<int, int64_t> kernels;
int64_t streams = 0;
bool lost[MOST] = {};
bool capturing[MOST] = {}, spoilt[MOST] = {};
std::map<int, double> captured;

// What a device has done, while somebody wants to know.
struct Entry {
  double begin, end;
  bool is_hold;
};
bool booking = false;
std::map<int, std::vector<Entry>> book;

double now() {
  auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

void wait_until(double moment) {
  TORCH_CHECK(moment - now() < 20, "the host would wait for ", moment - now(), " s");
  while (now() < moment)
    if (moment - now() > 1e-3)
      std::this_thread::sleep_for(std::chrono::duration<double>(moment - now() - 5e-4));
}

// As on CUDA: what waits for the device ends a capture, and the device cannot be trusted afterwards.
void check(int device, bool waits = false) {
  TORCH_CHECK(!lost[device], "SIM error: device lost");
  spoilt[device] |= waits && capturing[device];
  TORCH_CHECK(
      !(waits && capturing[device]), "SIM error: operation not permitted when stream is capturing");
  TORCH_CHECK(
      capturing[device] || !spoilt[device],
      "SIM error: operation failed due to a previous error during capture");
}

// What EXCLUSIVE_PROCESS is on NVIDIA's devices: the first process has it until it ends.
void take(int device) {
  static bool taken[MOST] = {};
  const char* directory = std::getenv("SIM_EXCLUSIVE");
  if (!directory || taken[device]) return;
  auto path = std::string(directory) + "/sim" + std::to_string(device);
  int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  TORCH_CHECK(flock(file, LOCK_EX | LOCK_NB) == 0, "SIM error: device is busy or unavailable");
  taken[device] = true;
}

void work(int device, double seconds, bool is_hold = false) {
  check(device);
  if (capturing[device]) {
    captured[device] += seconds;
    return;
  }
  Key key{device, stream_of[device]};
  auto& waiting = queue[key];
  while (!waiting.empty() && waiting.front() <= now()) waiting.pop_front();
  if (waiting.size() >= depth) {
    wait_until(waiting.front());
    waiting.pop_front();
  }
  std::lock_guard guard(mutex);
  double begin = std::max(free_at[key], now());
  free_at[key] = begin + seconds;
  waiting.push_back(free_at[key]);
  if (booking) book[device].push_back({begin, free_at[key], is_hold});
}

void run_kernel(int device) {
  if (on_host) return;
  work(device, KERNEL);
  kernels[device]++;
}

void synchronize(int device) {
  check(device, true);
  for (auto& [key, moment] : free_at)
    if (key.first == device) wait_until(moment);
}

struct Moment {
  double at = 0;
  int device = 0;
};

struct Guard final : impl::DeviceGuardImplInterface {
  static constexpr DeviceType static_type = kPrivateUse1;
  Guard() = default;
  explicit Guard(DeviceType) {}
  static int index(Device device) { return device.index() < 0 ? current : device.index(); }
  static Stream stream(int device, int64_t id) {
    return Stream(Stream::UNSAFE, Device(kPrivateUse1, device), id);
  }
  DeviceType type() const override { return kPrivateUse1; }
  Device getDevice() const override { return Device(kPrivateUse1, current); }
  void setDevice(Device device) const override { current = index(device); }
  void uncheckedSetDevice(Device device) const noexcept override { current = index(device); }
  Device exchangeDevice(Device device) const override {
    Device before = getDevice();
    setDevice(device);
    return before;
  }
  Stream getStream(Device device) const override {
    return stream(index(device), stream_of[index(device)]);
  }
  Stream getDefaultStream(Device device) const override { return stream(index(device), 0); }
  Stream getNewStream(Device device, int) const override {
    return stream(index(device), ++streams);
  }
  Stream getStreamFromGlobalPool(Device device, bool) const override {
    return getNewStream(device, 0);
  }
  Stream exchangeStream(Stream to) const override {
    auto before = stream_of[to.device_index()];
    stream_of[to.device_index()] = to.id();
    return stream(to.device_index(), before);
  }
  DeviceIndex deviceCount() const noexcept override { return devices; }
  void record(void** event, const Stream& on, const DeviceIndex, const EventFlag) const override {
    check(on.device_index());
    if (!*event) *event = new Moment;
    std::lock_guard guard(mutex);
    double at = std::max(free_at[{on.device_index(), on.id()}], now());
    *static_cast<Moment*>(*event) = {at, on.device_index()};
  }
  void destroyEvent(void* event, const DeviceIndex) const noexcept override {
    delete static_cast<Moment*>(event);
  }
  void block(void* event, const Stream& on) const override {
    if (!event) return;
    auto& moment = free_at[{on.device_index(), on.id()}];
    moment = std::max(moment, static_cast<Moment*>(event)->at);
  }
  bool queryEvent(void* event) const override {
    return !event || now() >= static_cast<Moment*>(event)->at;
  }
  bool queryStream(const Stream& on) const override {
    return now() >= free_at[{on.device_index(), on.id()}];
  }
  void synchronizeStream(const Stream& on) const override {
    wait_until(free_at[{on.device_index(), on.id()}]);
  }
  void synchronizeEvent(void* event) const override {
    if (event) wait_until(static_cast<Moment*>(event)->at);
  }
  void synchronizeDevice(const DeviceIndex device) const override {
    synchronize(device < 0 ? current : device);
  }
  double elapsedTime(void* begin, void* end, const DeviceIndex) const override {
    auto *first = static_cast<Moment*>(begin), *last = static_cast<Moment*>(end);
    TORCH_CHECK(first && last && first->device == last->device, "events of different devices");
    return (last->at - first->at) * 1e3;
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Allocator final : DeviceAllocator {
  size_t allocated[MOST] = {}, peak[MOST] = {};
  std::map<void*, std::pair<int, size_t>> held;

  static void let_go(void* pointer);
  DataPtr allocate(size_t size) override {
    std::lock_guard guard(mutex);
    int device = current;
    check(device);
    take(device);
    size_t whole = (size + 511) / 512 * 512;
    TORCH_CHECK_WITH(
        OutOfMemoryError, allocated[device] + whole <= memory,
        "SIM out of memory. Tried to allocate ", size, " bytes");
    void* pointer = size ? aligned_alloc(512, whole) : nullptr;
    if (pointer) {
      held[pointer] = {device, whole};
      allocated[device] += whole;
      peak[device] = std::max(peak[device], allocated[device]);
    }
    return {pointer, pointer, &let_go, Device(kPrivateUse1, device)};
  }
  DeleterFnPtr raw_deleter() const override { return &let_go; }
  void copy_data(void* to, const void* from, size_t size) const override {
    memcpy(to, from, size);
  }
  bool initialized() override { return true; }
  void emptyCache(MempoolId_t) override {}
  void recordStream(const DataPtr&, Stream) override {}
  CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex device) override {
    CachingDeviceAllocator::DeviceStats stats;
    for (auto* each : {&stats.allocated_bytes, &stats.reserved_bytes}) {
      (*each)[0].current = allocated[device];
      (*each)[0].peak = peak[device];
    }
    return stats;
  }
  void resetAccumulatedStats(DeviceIndex) override {}
  void resetPeakStats(DeviceIndex device) override { peak[device] = allocated[device]; }
  std::pair<size_t, size_t> getMemoryInfo(DeviceIndex device) override {
    return {memory - allocated[device], memory};
  }
};
Allocator allocator;
void Allocator::let_go(void* pointer) {
  std::lock_guard guard(mutex);
  auto found = allocator.held.find(pointer);
  if (found != allocator.held.end()) {
    allocator.allocated[found->second.first] -= found->second.second;
    allocator.held.erase(found);
  }
  free(pointer);
}
REGISTER_ALLOCATOR(kPrivateUse1, &allocator);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return devices > 0; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return devices; }
  void setCurrentDevice(DeviceIndex device) const override { current = device; }
  DeviceIndex getCurrentDevice() const override { return current; }
  DeviceIndex exchangeDevice(DeviceIndex device) const override {
    return std::exchange(current, device);
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex device) const override {
    return device < 0 || device >= devices ? current : std::exchange(current, device);
  }
};
Hooks hooks;
const bool registered = (at::RegisterPrivateUse1HooksInterface(&hooks), true);

// Operators.

using Kind = std::optional<ScalarType>;
using Place = std::optional<Device>;

Tensor empty(
    IntArrayRef size, Kind kind, std::optional<Layout>, Place place, std::optional<bool>,
    std::optional<MemoryFormat> format) {
  DeviceGuard guard(device_or_default(place));
  DispatchKeySet keys(DispatchKey::PrivateUse1);
  return at::detail::empty_generic(size, &allocator, keys, dtype_or_default(kind), format);
}
Tensor empty_strided(
    IntArrayRef size, IntArrayRef strides, Kind kind, std::optional<Layout>, Place place,
    std::optional<bool>) {
  DeviceGuard guard(device_or_default(place));
  DispatchKeySet keys(DispatchKey::PrivateUse1);
  return at::detail::empty_strided_generic(
      size, strides, &allocator, keys, dtype_or_default(kind));
}
Tensor on_cpu(const Tensor& tensor) {
  if (!tensor.is_privateuseone()) return tensor;
  auto options = tensor.options().device(kCPU);
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
}
Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  bool is_read = !to.is_privateuseone();
  int device = (is_read ? from : to).device().index();
  run_kernel(device);
  if (is_read && !on_host) synchronize(device);
  if (to.numel()) on_cpu(to).copy_(on_cpu(from));
  return to;
}
Tensor copy_and_resize(const Tensor& from, const Tensor& to) {
  at::native::resize_(to, from.sizes(), std::nullopt);
  const_cast<Tensor&>(to).copy_(from);
  return to;
}
Scalar item(const Tensor& tensor) {
  if (!on_host) synchronize(tensor.device().index());
  return at::native::_local_scalar_dense_cpu(tensor);
}
Tensor view(const Tensor& tensor, SymIntArrayRef size) {
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(size));
}
Tensor as_strided(
    const Tensor& tensor, SymIntArrayRef size, SymIntArrayRef strides,
    std::optional<SymInt> offset) {
  return at::cpu::as_strided_symint(tensor, size, strides, offset);
}
const Tensor& resize_(
    const Tensor& tensor, SymIntArrayRef size, std::optional<MemoryFormat> format) {
  return at::native::resize_(tensor, C10_AS_INTARRAYREF_SLOW(size), format);
}
Tensor alias(const Tensor& tensor, SymIntArrayRef size, SymIntArrayRef strides) {
  return at::native::_reshape_alias(
      tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(strides));
}
Tensor& set_tensor(Tensor& tensor, const Tensor& other) {
  return at::native::set_tensor_(tensor, other);
}
Tensor& set_storage(Tensor& tensor, Storage storage) {
  return at::native::set_(tensor, storage);
}
Tensor& set_part(
    Tensor& tensor, Storage storage, int64_t offset, IntArrayRef size, IntArrayRef strides) {
  return at::cpu::set_(tensor, storage, offset, size, strides);
}

// One kernel, which the host computes meanwhile.
struct OnHost {
  DeviceGuard guard;
  explicit OnHost(int device) : guard(Device(kPrivateUse1, device)) {
    run_kernel(device);
    on_host = true;
  }
  ~OnHost() { on_host = false; }
};

Tensor convolution(
    const Tensor& images, const Tensor& weight, const std::optional<Tensor>& bias,
    IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, bool transposed,
    IntArrayRef output_padding, int64_t groups) {
  OnHost here(images.device().index());
  auto given = bias && bias->defined() ? std::optional<Tensor>(on_cpu(*bias)) : std::nullopt;
  auto result = at::convolution(
      on_cpu(images), on_cpu(weight), given, stride, padding, dilation, transposed, output_padding,
      groups);
  return result.to(images.device());
}

int device_of(const torch::jit::Stack& stack) {
  for (auto& value : stack) {
    if (value.isTensor() && value.toTensor().is_privateuseone())
      return value.toTensor().device().index();
    if (value.isTensorList())
      for (const Tensor& tensor : value.toTensorVector())
        if (tensor.is_privateuseone()) return tensor.device().index();
  }
  return current;
}
void fallback(const OperatorHandle& op, torch::jit::Stack* stack) {
  OnHost here(device_of(*stack));
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", as_strided);
  m.impl("resize_", resize_);
  m.impl("_reshape_alias", alias);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_and_resize);
  m.impl("_local_scalar_dense", item);
  m.impl("set_.source_Tensor", set_tensor);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_part);
  m.impl("view", view);
  m.impl("convolution_overrideable", convolution);
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}
TORCH_LIBRARY_IMPL(_, AutogradPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("device_count", [] { return devices; });
  m.def("current_device", [] { return current; });
  m.def("set_device", [](int device) { current = device; });
  m.def("synchronize", [](int device) {
    py::gil_scoped_release release;
    synchronize(device);
  });
  m.def("sleep", [](double cycles) {
    slept[current] += cycles / CYCLES;
    work(current, cycles / CYCLES, true);
  });
  m.def("keep_book", [] {
    booking = true;
    book.clear();
  });
  m.def("book", [](int device) {
    std::vector<std::tuple<double, double, bool>> entries;
    for (auto& one : book[device]) entries.emplace_back(one.begin, one.end, one.is_hold);
    return entries;
  });
  m.def("begin_capture", [](int device) {
    check(device);
    captured[device] = 0;
    capturing[device] = true;
  });
  m.def("end_capture", [](int device) {
    capturing[device] = false;
    check(device);
    return captured[device];
  });
  m.def("replay", [](int device, double seconds) { work(device, seconds); });
  m.def("slept", [] { return slept; });
  m.def("kernels", [] { return kernels; });
  m.def("allocated", [](int device) { return allocator.allocated[device]; });
  m.def("peak", [](int device) { return allocator.peak[device]; });
  m.def("reset_peak", [](int device) { allocator.resetPeakStats(device); });
  m.def("memory", [](int device) { return allocator.getMemoryInfo(device); });
  m.def("lose", [](int device) { lost[device] = true; });
}
