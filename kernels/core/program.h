// A recorded list of kernel calls over fixed memory, played in one go.
#ifndef LAB_PROGRAM_H
#define LAB_PROGRAM_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "lab.h"

namespace lab {

/// Milliseconds that each kernel has taken since this was first asked, in the order of Entries().
const std::vector<double>& KernelTimes();
/// Runs one kernel and adds to its time. Gives what Fail was told, or nullptr.
const char* RunKernel(int32_t kernel, Call call);

class Program {
 public:
  /// An array of JavaScript's: the program reads and writes it for as long as it lives.
  struct Memory {
    char* data;
    size_t bytes;
  };

  /// `code`, for each call: kernel, `Call::halves`, inputs, outputs, ints, floats (how many), then a place for each array (-1: absent), the ints, the floats.
  /// `places`, for each place: which memory, and the byte in it where the array starts. The last memory counts from its first multiple of
  /// 64 bytes on. Gives nullptr, and a sentence in `problem`, where these don't fit together.
  static std::unique_ptr<Program> Read(const double* code, size_t codeLength, const double* places, size_t placesLength,
                                       const std::vector<Memory>& memories, const char** problem);

  /// For each call of `code` the arguments that may hold bfloat16 as products are set now (SetBfloat16), as bits of `Call::halves`; false where the code is
  /// damaged. Code that has such bits must be played under the same setting.
  static bool AbleHalves(const double* code, size_t codeLength, std::vector<double>* able);

  size_t calls() const { return calls_.size(); }
  /// Plays calls [from, to). Stops at a call that fails: gives its sentence, and its kernel's name in `name`.
  const char* Play(size_t from, size_t to, const char** name) const;

  /// Set while a thread plays it beside JavaScript.
  std::atomic<bool> playing{false};
  /// Set from any thread, ends Play before its next call.
  std::atomic<bool> stop{false};

 private:
  struct Step {
    int32_t kernel;
    int inputs, outputs, ints, floats;
    uint64_t halves;
    size_t array, n, f;  // where its own begin in the lists below
  };
  /// Appends the call that begins at code[*at], and goes on to the next; addresses of its arrays are left out. False where the code is damaged.
  bool ReadCall(const double* code, size_t codeLength, size_t* at, std::vector<double>* places);
  /// Step `step` as its kernel takes it.
  Call CallOf(const Step& step) const;

  std::vector<Step> calls_;
  std::vector<void*> arrays_;
  std::vector<int64_t> n_;
  std::vector<double> f_;
};

}  // namespace lab

#endif
