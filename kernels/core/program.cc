// Reading and playing recorded lists of kernel calls.
#include "program.h"

#include <chrono>

#include "pool.h"
#include "registry.h"

namespace lab {

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<bool> timed{false};  // reading the clock for each of hundreds of small kernels would show in the time of a token

std::vector<double>& Times() {
  static std::vector<double>* times = new std::vector<double>(Entries().size());
  return *times;
}

/// Runs a kernel that begins at `start`, which becomes the moment of its end: of kernels played one after another the clock is read once each.
const char* RunKernelFrom(Clock::time_point* start, int32_t kernel, Call call) {
  const char* error = nullptr;
  call.error = &error;
  Entries()[kernel].kernel(call);
  if (!timed.load(std::memory_order_relaxed)) return error;
  const Clock::time_point end = Clock::now();
  Times()[kernel] += std::chrono::duration<double, std::milli>(end - *start).count();
  *start = end;
  return error;
}

}  // namespace

const std::vector<double>& KernelTimes() {
  timed.store(true, std::memory_order_relaxed);
  return Times();
}

const char* RunKernel(int32_t kernel, Call call) {
  ExpectNextWithin(0);
  Clock::time_point start = Clock::now();
  return RunKernelFrom(&start, kernel, call);
}

bool Program::ReadCall(const double* code, size_t codeLength, size_t* at, std::vector<double>* places) {
  constexpr size_t head = 6;
  if (*at + head > codeLength) return false;
  const double* own = code + *at;
  Step step{};
  step.kernel = static_cast<int32_t>(own[0]);
  step.halves = own[1] >= 0 ? static_cast<uint64_t>(own[1]) : 0;
  step.inputs = static_cast<int>(own[2]);
  step.outputs = static_cast<int>(own[3]);
  step.ints = static_cast<int>(own[4]);
  step.floats = static_cast<int>(own[5]);
  if (step.kernel < 0 || static_cast<size_t>(step.kernel) >= Entries().size()) return false;
  if (step.inputs < 0 || step.outputs < 0 || step.ints < 0 || step.floats < 0) return false;
  const size_t arrays = static_cast<size_t>(step.inputs) + static_cast<size_t>(step.outputs), ints = static_cast<size_t>(step.ints);
  const size_t whole = head + arrays + ints + static_cast<size_t>(step.floats);
  if (*at + whole > codeLength) return false;
  *at += whole;
  step.array = places->size();
  step.n = n_.size();
  step.f = f_.size();
  places->insert(places->end(), own + head, own + head + arrays);
  for (size_t i = head + arrays; i < head + arrays + ints; ++i) n_.push_back(static_cast<int64_t>(own[i]));
  f_.insert(f_.end(), own + head + arrays + ints, own + whole);
  calls_.push_back(step);
  return true;
}

Call Program::CallOf(const Step& step) const {
  void* const* arrays = arrays_.empty() ? nullptr : arrays_.data() + step.array;
  void* const* outputs = arrays_.empty() ? nullptr : arrays + step.inputs;
  return {arrays, outputs, n_.data() + step.n, f_.data() + step.f, step.inputs, step.outputs, step.ints, step.floats, nullptr, step.halves};
}

bool Program::AbleHalves(const double* code, size_t codeLength, std::vector<double>* able) {
  Program program;
  std::vector<double> places;
  for (size_t at = 0; at < codeLength;)
    if (!program.ReadCall(code, codeLength, &at, &places)) return false;
  for (const Step& step : program.calls_) {
    const Able ask = Entries()[step.kernel].able;
    able->push_back(ask && Bfloat16() ? static_cast<double>(ask(program.CallOf(step))) : 0.0);
  }
  return true;
}

std::unique_ptr<Program> Program::Read(const double* code, size_t codeLength, const double* places, size_t placesLength,
                                       const std::vector<Memory>& memories, const char** problem) {
  if (!memories.empty()) AdviseLargePages(memories.back().data, memories.back().bytes);
  std::vector<void*> addresses;
  for (size_t i = 0; i + 1 < placesLength; i += 2) {
    const size_t memory = static_cast<size_t>(places[i]), offset = static_cast<size_t>(places[i + 1]);
    if (memory >= memories.size() || offset > memories[memory].bytes) {
      *problem = "internal: a place of the program lies outside of its memory";
      return nullptr;
    }
    char* data = memories[memory].data;
    if (memory + 1 == memories.size()) data += (64 - reinterpret_cast<uintptr_t>(data) % 64) % 64;
    addresses.push_back(data + offset);
  }
  auto program = std::unique_ptr<Program>(new Program);
  *problem = "internal: the program's code is damaged";
  std::vector<double> used;
  for (size_t at = 0; at < codeLength;)
    if (!program->ReadCall(code, codeLength, &at, &used)) return nullptr;
  for (const double place : used) {
    if (place >= static_cast<double>(addresses.size())) return nullptr;
    program->arrays_.push_back(place < 0 ? nullptr : addresses[static_cast<size_t>(place)]);
  }
  for (const Step& step : program->calls_) {
    for (int i = 0; i < step.outputs; ++i)
      if (used[step.array + static_cast<size_t>(step.inputs + i)] < 0) return nullptr;
    const Able ask = Entries()[step.kernel].able;
    if (step.halves & ~(ask ? ask(program->CallOf(step)) : 0)) return nullptr;
  }
  *problem = nullptr;
  return program;
}

const char* Program::Play(size_t from, size_t to, const char** name) const {
  const Clock::time_point start = Clock::now();
  Clock::time_point now = start;
  for (size_t i = from; i < to && !stop.load(std::memory_order_relaxed); ++i) {
    const Step& step = calls_[i];
    if (const char* error = RunKernelFrom(&now, step.kernel, CallOf(step))) {
      *name = Entries()[step.kernel].name;
      return error;
    }
  }
  ExpectNextWithin(std::chrono::duration<double, std::milli>(Clock::now() - start).count());  // a token follows a token, and JavaScript is between
  return nullptr;
}

}  // namespace lab
