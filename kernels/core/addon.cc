// The addon's entry: lists its kernels and calls one by its number with typed arrays; settings of the thread pool.
#include "node.h"

#include <atomic>

#include "cpu.h"
#include "registry.h"

namespace lab {

std::vector<Entry>& Entries() {
  static std::vector<Entry>* entries = new std::vector<Entry>;
  return *entries;
}
Registration::Registration(const char* name, Kernel kernel) { Entries().push_back({name, kernel}); }

namespace {

constexpr int kMaxArrays = 64;
constexpr int kMaxNumbers = 256;

/// One JavaScript environment: the array through which it hands over a call's numbers.
struct Env {
  const double* numbers = nullptr;
  size_t length = 0;
};
std::atomic<int> environments{0};

napi_value Undefined(napi_env env) {
  napi_value v;
  napi_get_undefined(env, &v);
  return v;
}
napi_value Throw(napi_env env, const char* sentence) {
  napi_throw_error(env, nullptr, sentence);
  return nullptr;
}

/// numbers(Float64Array): where `call` finds its integers and then its floats. Keeps the array for the life of the environment.
napi_value Numbers(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (argc < 1 || napi_get_typedarray_info(env, argv[0], &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_float64_array) {
    return Throw(env, "internal: numbers() wants a Float64Array");
  }
  napi_ref keep;
  napi_create_reference(env, argv[0], 1, &keep);
  Env* state = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void**>(&state));
  state->numbers = static_cast<const double*>(data);
  state->length = length;
  return Undefined(env);
}

/// call(kernel, inputs, outputs, ints, floats, ...arrays): inputs first, then outputs; an absent input is undefined or null.
napi_value CallKernel(napi_env env, napi_callback_info info) {
  size_t argc = 5 + kMaxArrays;
  napi_value argv[5 + kMaxArrays];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  int32_t head[5] = {-1, 0, 0, 0, 0};
  for (int i = 0; i < 5 && i < static_cast<int>(argc); ++i) napi_get_value_int32(env, argv[i], &head[i]);
  const int32_t index = head[0], inputs = head[1], outputs = head[2], ints = head[3], floats = head[4];
  Env* state = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void**>(&state));
  const std::vector<Entry>& entries = Entries();
  if (index < 0 || index >= static_cast<int32_t>(entries.size())) return Throw(env, "internal: no such kernel number");
  if (inputs < 0 || outputs < 0 || inputs + outputs > kMaxArrays || static_cast<size_t>(5 + inputs + outputs) != argc) {
    return Throw(env, "internal: a kernel takes at most 64 arrays, as many as its call announces");
  }
  if (ints < 0 || floats < 0 || ints + floats > kMaxNumbers || static_cast<size_t>(ints + floats) > state->length) {
    return Throw(env, "internal: too many numbers for one kernel call");
  }
  void* arrays[kMaxArrays];
  for (int i = 0; i < inputs + outputs; ++i) {
    napi_typedarray_type type;
    size_t length;
    if (napi_get_typedarray_info(env, argv[5 + i], &type, &length, &arrays[i], nullptr, nullptr) == napi_ok) continue;
    napi_valuetype kind;
    napi_typeof(env, argv[5 + i], &kind);
    if (i >= inputs || (kind != napi_undefined && kind != napi_null)) return Throw(env, "internal: kernels take typed arrays");
    arrays[i] = nullptr;
  }
  int64_t n[kMaxNumbers];
  double f[kMaxNumbers];
  for (int i = 0; i < ints; ++i) n[i] = static_cast<int64_t>(state->numbers[i]);
  for (int i = 0; i < floats; ++i) f[i] = state->numbers[ints + i];
  const char* error = nullptr;
  entries[index].kernel(Call{arrays, arrays + inputs, n, f, inputs, outputs, ints, floats, &error});
  if (error) return Throw(env, error);
  return Undefined(env);
}

napi_value Kernels(napi_env env, napi_callback_info) {
  const std::vector<Entry>& entries = Entries();
  napi_value list;
  napi_create_array_with_length(env, entries.size(), &list);
  for (size_t i = 0; i < entries.size(); ++i) {
    napi_value name;
    napi_create_string_utf8(env, entries[i].name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, static_cast<uint32_t>(i), name);
  }
  return list;
}

/// threads(n?): sets, if n is given, and tells how many threads loops use.
napi_value SetGetThreads(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  int32_t n = 0;
  if (argc > 0 && napi_get_value_int32(env, argv[0], &n) == napi_ok) SetThreads(n);
  napi_value v;
  napi_create_int32(env, Threads(), &v);
  return v;
}

template <void (*Set)(bool)>
napi_value Switch(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  bool on = false;
  if (argc > 0) napi_get_value_bool(env, argv[0], &on);
  Set(on);
  return Undefined(env);
}

napi_value AskCpu(napi_env env, napi_callback_info) {
  const Cpu cpu = DetectCpu();
  napi_value object;
  napi_create_object(env, &object);
  const auto tell = [&](const char* name, bool has) {
    napi_value flag;
    napi_get_boolean(env, has, &flag);
    napi_set_named_property(env, object, name, flag);
  };
  tell("avx2", cpu.avx2);
  tell("avx512", cpu.avx512);
  tell("avx512bf16", cpu.bf16);
  tell("amx", cpu.amx);
  return object;
}

}  // namespace
}  // namespace lab

extern "C" NAPI_MODULE_EXPORT int32_t node_api_module_get_api_version_v1() { return NAPI_VERSION; }

extern "C" NAPI_MODULE_EXPORT napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  using namespace lab;
  napi_set_instance_data(env, new Env, [](napi_env, void* data, void*) { delete static_cast<Env*>(data); }, nullptr);
  environments.fetch_add(1);
  // The last environment to end stops the threads, so that the library may be unloaded and the process can exit.
  napi_add_env_cleanup_hook(env, [](void*) { if (environments.fetch_sub(1) == 1) StopThreads(); }, nullptr);
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  };
  add("kernels", Kernels);
  add("numbers", Numbers);
  add("call", CallKernel);
  add("threads", SetGetThreads);
  add("poison", Switch<SetPoison>);
  add("bfloat16", Switch<SetBfloat16>);
  add("cpu", AskCpu);
  napi_value isa;
  napi_create_string_utf8(env, LAB_ISA, NAPI_AUTO_LENGTH, &isa);
  napi_set_named_property(env, exports, "isa", isa);
  return exports;
}
