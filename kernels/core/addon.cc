// The addon's entry: lists its kernels, calls one by its number with typed arrays, plays recorded programs; settings of the thread pool.
#include "node.h"

#include <atomic>
#include <string>
#include <utility>

#include "cpu.h"
#include "player.h"
#include "program.h"
#include "registry.h"
#include "tiles.h"

namespace lab {

std::vector<Entry>& Entries() {
  static std::vector<Entry>* entries = new std::vector<Entry>;
  return *entries;
}
Registration::Registration(const char* name, Kernel kernel, Able able) { Entries().push_back({name, kernel, able}); }

namespace {

constexpr int kMaxArrays = 512;
constexpr int kMaxNumbers = 256;

/// A program, and what keeps its arrays alive.
struct Held {
  std::unique_ptr<Program> program;
  napi_ref memories = nullptr;
};
/// One JavaScript environment: the array through which it hands over a call's numbers, and its programs by number.
struct Env {
  const double* numbers = nullptr;
  size_t length = 0;
  std::vector<Held> programs;
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
    return Throw(env, "internal: a kernel takes at most 512 arrays, as many as its call announces");
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
  if (const char* error = RunKernel(index, Call{arrays, arrays + inputs, n, f, inputs, outputs, ints, floats, nullptr, 0})) return Throw(env, error);
  return Undefined(env);
}

/// The memory of an ArrayBuffer view; data is nullptr if `value` is none.
Program::Memory MemoryOf(napi_env env, napi_value value) {
  static constexpr size_t kBytes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};  // in the order of napi_typedarray_type
  napi_typedarray_type type;
  size_t length;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok || type > napi_biguint64_array) return {nullptr, 0};
  return {static_cast<char*>(data), length * kBytes[type]};
}

/// home(memory: typed array, align): the first byte of memory that isn't written yet whose address is a multiple of `align`; asks for large pages.
napi_value Home(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  const Program::Memory memory = argc > 0 ? MemoryOf(env, argv[0]) : Program::Memory{nullptr, 0};
  int32_t align = 0;
  if (argc < 2 || !memory.data || napi_get_value_int32(env, argv[1], &align) != napi_ok || align < 1) {
    return Throw(env, "internal: home() wants memory and an alignment");
  }
  AdviseLargePages(memory.data, memory.bytes);
  napi_value v;
  napi_create_double(env, static_cast<double>((align - reinterpret_cast<uintptr_t>(memory.data) % align) % align), &v);
  return v;
}

/// program(code: Float64Array, places: Float64Array, memories: typed array[]): the number of a program, see Program::Read.
/// It keeps its memories until forget(number).
napi_value MakeProgram(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  uint32_t count = 0;
  if (argc < 3 || napi_get_array_length(env, argv[2], &count) != napi_ok) return Throw(env, "internal: program() wants code, places and memories");
  const Program::Memory code = MemoryOf(env, argv[0]), places = MemoryOf(env, argv[1]);
  std::vector<Program::Memory> memories;
  for (uint32_t i = 0; i < count; ++i) {
    napi_value array;
    napi_get_element(env, argv[2], i, &array);
    memories.push_back(MemoryOf(env, array));
    if (!memories.back().data && memories.back().bytes) return Throw(env, "internal: a program's memories are typed arrays");
  }
  Held held;
  const char* problem = nullptr;
  held.program = Program::Read(reinterpret_cast<const double*>(code.data), code.bytes / sizeof(double), reinterpret_cast<const double*>(places.data),
                               places.bytes / sizeof(double), memories, &problem);
  if (!held.program) return Throw(env, problem);
  napi_create_reference(env, argv[2], 1, &held.memories);
  Env* state = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void**>(&state));
  size_t number = 0;
  while (number < state->programs.size() && state->programs[number].program) ++number;
  if (number == state->programs.size()) state->programs.emplace_back();
  state->programs[number] = std::move(held);
  napi_value v;
  napi_create_int32(env, static_cast<int32_t>(number), &v);
  return v;
}

/// halves(code: Float64Array): for each call of a program which arguments may hold bfloat16 now, as bits (Able in lab.h).
napi_value Halves(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  const Program::Memory code = argc > 0 ? MemoryOf(env, argv[0]) : Program::Memory{nullptr, 0};
  std::vector<double> able;
  if (!Program::AbleHalves(reinterpret_cast<const double*>(code.data), code.bytes / sizeof(double), &able)) {
    return Throw(env, "internal: the program's code is damaged");
  }
  napi_value list;
  napi_create_array_with_length(env, able.size(), &list);
  for (size_t i = 0; i < able.size(); ++i) {
    napi_value bits;
    napi_create_double(env, able[i], &bits);
    napi_set_element(env, list, static_cast<uint32_t>(i), bits);
  }
  return list;
}

/// The program that the first argument names, or nullptr after throwing. `numbers`: the arguments behind it.
Held* FindProgram(napi_env env, napi_callback_info info, int32_t* numbers, size_t wanted) {
  size_t argc = 3;
  napi_value argv[3];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  int32_t number = -1;
  if (argc > 0) napi_get_value_int32(env, argv[0], &number);
  for (size_t i = 0; i < wanted; ++i)
    if (argc < i + 2 || napi_get_value_int32(env, argv[i + 1], &numbers[i]) != napi_ok) numbers[i] = -1;
  Env* state = nullptr;
  napi_get_instance_data(env, reinterpret_cast<void**>(&state));
  Held* held = number >= 0 && static_cast<size_t>(number) < state->programs.size() ? &state->programs[number] : nullptr;
  if (held && held->program) return held;
  Throw(env, "internal: no such program");
  return nullptr;
}

/// As FindProgram, of one that is at rest and has the calls [range[0], range[1]).
Held* FindIdle(napi_env env, napi_callback_info info, int32_t range[2]) {
  Held* held = FindProgram(env, info, range, 2);
  if (!held) return nullptr;
  const bool has = range[0] >= 0 && range[1] >= range[0] && static_cast<size_t>(range[1]) <= held->program->calls();
  if (has && !held->program->playing.load()) return held;
  Throw(env, has ? "internal: the program is playing" : "internal: the program has no such calls");
  return nullptr;
}

/// play(program, from, to): its calls [from, to).
napi_value Play(napi_env env, napi_callback_info info) {
  int32_t range[2];
  const Held* held = FindIdle(env, info, range);
  if (!held) return nullptr;
  const char* name = nullptr;
  const char* error = held->program->Play(static_cast<size_t>(range[0]), static_cast<size_t>(range[1]), &name);
  if (error) return Throw(env, (std::string(name) + ": " + error).c_str());
  return Undefined(env);
}

/// A program playing on the player's thread, and the promise that waits for it.
struct Later {
  Program* program;
  int32_t from, to;
  napi_deferred promise = nullptr;
  napi_threadsafe_function done = nullptr;
  const char *error = nullptr, *name = nullptr;
};

/// On JavaScript's thread, when the program has ended: true if it came to its end, false if it was stopped.
void Settle(napi_env env, napi_value, void*, void* data) {
  Later* later = static_cast<Later*>(data);
  later->program->playing.store(false);
  if (env) {
    napi_value result;
    if (later->error) {
      napi_value sentence;
      napi_create_string_utf8(env, (std::string(later->name) + ": " + later->error).c_str(), NAPI_AUTO_LENGTH, &sentence);
      napi_create_error(env, nullptr, sentence, &result);
      napi_reject_deferred(env, later->promise, result);
    } else {
      napi_get_boolean(env, !later->program->stop.load(), &result);
      napi_resolve_deferred(env, later->promise, result);
    }
  }
  later->program->stop.store(false);
  napi_release_threadsafe_function(later->done, napi_tsfn_release);
  delete later;
}

/// playLater(program, from, to): a promise of play beside JavaScript; it gives false if `stop` ended it before its last call.
napi_value PlayLater(napi_env env, napi_callback_info info) {
  int32_t range[2];
  const Held* held = FindIdle(env, info, range);
  if (!held) return nullptr;
  Later* later = new Later{held->program.get(), range[0], range[1]};
  napi_value promise, name;
  napi_create_promise(env, &later->promise, &promise);
  napi_create_string_utf8(env, "play", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, Settle, &later->done);
  later->program->stop.store(false);
  later->program->playing.store(true);
  const auto play = [later] {
    later->error = later->program->Play(static_cast<size_t>(later->from), static_cast<size_t>(later->to), &later->name);
    napi_call_threadsafe_function(later->done, later, napi_tsfn_blocking);
  };
  if (!PlayerStart(play)) play();  // the thread is taken or refused: then JavaScript waits
  return promise;
}

/// stop(program): ends it before its next call, if it plays beside JavaScript.
napi_value StopPlaying(napi_env env, napi_callback_info info) {
  Held* held = FindProgram(env, info, nullptr, 0);
  if (!held) return nullptr;
  if (held->program->playing.load()) held->program->stop.store(true);
  return Undefined(env);
}

/// The end of an environment: its programs stop, for they work in memory that goes with it.
void Leave(void* data) {
  for (Held& held : static_cast<Env*>(data)->programs)
    if (held.program) held.program->stop.store(true);
  PlayerStop();
  // The last environment to end stops the threads, so that the library may be unloaded and the process can exit.
  if (environments.fetch_sub(1) == 1) StopThreads();
}

/// forget(program)
napi_value Forget(napi_env env, napi_callback_info info) {
  Held* held = FindProgram(env, info, nullptr, 0);
  if (!held) return nullptr;
  if (held->program->playing.load()) return Throw(env, "internal: the program is playing");
  napi_delete_reference(env, held->memories);
  *held = {};
  return Undefined(env);
}

/// times(): milliseconds that each kernel has taken since this was first asked, in the order of kernels().
napi_value Times(napi_env env, napi_callback_info) {
  const std::vector<double>& times = KernelTimes();
  napi_value list;
  napi_create_array_with_length(env, times.size(), &list);
  for (size_t i = 0; i < times.size(); ++i) {
    napi_value value;
    napi_create_double(env, times[i], &value);
    napi_set_element(env, list, static_cast<uint32_t>(i), value);
  }
  return list;
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

/// tiles(use?): from now on products of bfloat16 run on "pairs", on the tile "unit" where it is ready, or on "loops" in its place (tests). Tells what
/// a trial of the unit found: "ready", "unknown", "missing", "refused" or "wrong" (tiles.h).
napi_value UseOrTryTiles(napi_env env, napi_callback_info info) {
  static const char* const kFound[] = {"ready", "unknown", "missing", "refused", "wrong"};
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  char use[8] = "";
  if (argc > 0) napi_get_value_string_utf8(env, argv[0], use, sizeof use, nullptr);
  const TileUnit found = CheckTiles(DetectCpu().amx);
  if (use == std::string("pairs") || (use == std::string("unit") && found != TileUnit::kReady)) UseTiles(Tiles::kNone);
  if (use == std::string("loops")) UseTiles(Tiles::kLoops);
  if (use == std::string("unit") && found == TileUnit::kReady) UseTiles(Tiles::kUnit);
  napi_value v;
  napi_create_string_utf8(env, kFound[static_cast<int>(found)], NAPI_AUTO_LENGTH, &v);
  return v;
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
  Env* state = new Env;
  napi_set_instance_data(env, state, [](napi_env, void* data, void*) { delete static_cast<Env*>(data); }, nullptr);
  environments.fetch_add(1);
  napi_add_env_cleanup_hook(env, Leave, state);
  const auto add = [&](const char* name, napi_callback callback) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  };
  add("kernels", Kernels);
  add("numbers", Numbers);
  add("call", CallKernel);
  add("home", Home);
  add("program", MakeProgram);
  add("halves", Halves);
  add("play", Play);
  add("playLater", PlayLater);
  add("stop", StopPlaying);
  add("forget", Forget);
  add("times", Times);
  add("threads", SetGetThreads);
  add("poison", Switch<SetPoison>);
  add("bfloat16", Switch<SetBfloat16>);
  add("tiles", UseOrTryTiles);
  add("cpu", AskCpu);
  napi_value isa;
  napi_create_string_utf8(env, LAB_ISA, NAPI_AUTO_LENGTH, &isa);
  napi_set_named_property(env, exports, "isa", isa);
  return exports;
}
