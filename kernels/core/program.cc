// Reading and playing recorded lists of kernel calls.
#include "program.h"

#include <chrono>

#include "registry.h"

namespace lab {

std::vector<double>& KernelTimes() {
  static std::vector<double>* times = new std::vector<double>(Entries().size());
  return *times;
}

namespace {

using Clock = std::chrono::steady_clock;

/// Runs a kernel that begins at `start`, which becomes the moment of its end: of kernels played one after another the clock is read once each.
const char* RunKernelFrom(Clock::time_point* start, int32_t kernel, Call call) {
  const char* error = nullptr;
  call.error = &error;
  Entries()[kernel].kernel(call);
  const Clock::time_point end = Clock::now();
  KernelTimes()[kernel] += std::chrono::duration<double, std::milli>(end - *start).count();
  *start = end;
  return error;
}

}  // namespace

const char* RunKernel(int32_t kernel, Call call) {
  Clock::time_point start = Clock::now();
  return RunKernelFrom(&start, kernel, call);
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
  for (size_t at = 0; at < codeLength;) {
    *problem = "internal: the program's code is damaged";
    if (at + 5 > codeLength) return nullptr;
    Step step{};
    step.kernel = static_cast<int32_t>(code[at]);
    step.inputs = static_cast<int>(code[at + 1]);
    step.outputs = static_cast<int>(code[at + 2]);
    step.ints = static_cast<int>(code[at + 3]);
    step.floats = static_cast<int>(code[at + 4]);
    at += 5;
    if (step.kernel < 0 || static_cast<size_t>(step.kernel) >= Entries().size()) return nullptr;
    if (step.inputs < 0 || step.outputs < 0 || step.ints < 0 || step.floats < 0) return nullptr;
    const size_t arrays = static_cast<size_t>(step.inputs) + static_cast<size_t>(step.outputs);
    if (at + arrays + static_cast<size_t>(step.ints) + static_cast<size_t>(step.floats) > codeLength) return nullptr;
    step.array = program->arrays_.size();
    step.n = program->n_.size();
    step.f = program->f_.size();
    for (size_t i = 0; i < arrays; ++i) {
      const double place = code[at++];
      if (place >= static_cast<double>(addresses.size()) || (place < 0 && i >= static_cast<size_t>(step.inputs))) return nullptr;
      program->arrays_.push_back(place < 0 ? nullptr : addresses[static_cast<size_t>(place)]);
    }
    for (int i = 0; i < step.ints; ++i) program->n_.push_back(static_cast<int64_t>(code[at++]));
    for (int i = 0; i < step.floats; ++i) program->f_.push_back(code[at++]);
    program->calls_.push_back(step);
  }
  *problem = nullptr;
  return program;
}

const char* Program::Play(size_t from, size_t to, const char** name) const {
  Clock::time_point now = Clock::now();
  for (size_t i = from; i < to && !stop.load(std::memory_order_relaxed); ++i) {
    const Step& step = calls_[i];
    void* const* arrays = arrays_.data() + step.array;
    const Call call{arrays, arrays + step.inputs, n_.data() + step.n, f_.data() + step.f, step.inputs, step.outputs, step.ints, step.floats, nullptr};
    if (const char* error = RunKernelFrom(&now, step.kernel, call)) {
      *name = Entries()[step.kernel].name;
      return error;
    }
  }
  return nullptr;
}

}  // namespace lab
