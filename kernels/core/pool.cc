// The thread pool behind ParallelFor, and each thread's scratch arena.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "lab.h"
#include "pool.h"

namespace lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(50);         // longer spinning ruins a machine that has other work
constexpr auto kLongestSpin = std::chrono::microseconds(150);  // waking takes some tens, but what played for long can afford it
std::atomic<Clock::rep> spin{Clock::duration(kSpin).count()};  // how long workers look for the next loop

LAB_INLINE void Pause() {
#if LAB_AVX512 || LAB_AVX2 || LAB_SSE2
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ __volatile__("yield");
#endif
}

/// True as soon as `ready()` is; false when the time `patience()` is over.
template <class Ready, class Patience>
bool Spin(Ready ready, Patience patience) {
  if (ready()) return true;
  const auto start = Clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (Clock::now() - start < patience());
  return false;
}

thread_local bool insideLoop = false;  // loops within run on the same thread
thread_local bool isWorker = false;

class Pool {
 public:
  int threads = 1;

  void Run(int64_t parts, void (*run)(void*, int64_t), void* context) {
    run_ = run;
    context_ = context;
    parts_ = parts;
    pending_.store(parts, std::memory_order_relaxed);
    generation_ = (generation_ + 1) & 0x7fffffff;
    tickets_.store((generation_ << 32) | static_cast<uint64_t>(parts));
    if (workers_.empty()) Start();
    if (sleepers_.load() > 0) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      if (parts > 2) wake_.notify_all();
      else wake_.notify_one();
    }
    insideLoop = true;
    while (Take()) {}
    insideLoop = false;
    if (Spin([&] { return pending_.load(std::memory_order_acquire) == 0; }, [] { return kSpin; })) return;
    std::unique_lock<std::mutex> lock(mutex_);
    callerSleeps_ = true;
    done_.wait(lock, [&] { return pending_.load(std::memory_order_acquire) == 0; });
    callerSleeps_ = false;
  }

  void Stop() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stop_ = false;
  }

  std::mutex turn;  // one loop at a time; a second caller runs its own loop alone

 private:
  void Start() {
    try {
      for (int i = 1; i < threads; ++i) {
        workers_.emplace_back([this] {
          insideLoop = isWorker = true;
          Work();
        });
      }
    } catch (...) {  // the system grants no more threads: the loops run on those there are
    }
  }

  // The low half of the tickets is the number of parts nobody has taken. Owning a part keeps the loop's fields in place:
  // the caller can't return, so can't begin another loop, before that part is counted off.
  bool Take() {
    uint64_t seen = tickets_.load();
    while (true) {
      const uint32_t left = static_cast<uint32_t>(seen);
      if (left == 0) return false;
      if (!tickets_.compare_exchange_weak(seen, seen - 1)) continue;
      run_(context_, parts_ - left);
      if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1 && isWorker) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (callerSleeps_) done_.notify_one();
      }
      return true;
    }
  }

  void Work() {
    const auto ready = [&] { return static_cast<uint32_t>(tickets_.load(std::memory_order_acquire)) != 0 || stop_; };
    while (!stop_) {
      if (Take()) continue;
      if (Spin(ready, [] { return Clock::duration(spin.load(std::memory_order_relaxed)); })) continue;
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return static_cast<uint32_t>(tickets_.load()) != 0 || stop_; });
      sleepers_.fetch_sub(1);
    }
  }

  alignas(64) std::atomic<uint64_t> tickets_{0};
  alignas(64) std::atomic<int64_t> pending_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  uint64_t generation_ = 0;
  void (*run_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  int64_t parts_ = 0;
  bool callerSleeps_ = false;  // under mutex_
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
};

// Never destroyed: a static condition variable with sleeping threads would hang the end of the process.
Pool& ThePool() {
  static Pool* pool = [] {
    Pool* p = new Pool;
    const unsigned n = std::thread::hardware_concurrency();
    p->threads = n > 0 ? static_cast<int>(n) : 1;
    return p;
  }();
  return *pool;
}

// ---------------------------------------------------------------- scratch

std::atomic<bool> poison{false};

constexpr size_t kLargePage = size_t{2} << 20;

struct Block {
  char* memory;
  size_t size;
};

void* AllocateAligned(size_t size) {
#if defined(_MSC_VER)
  return _aligned_malloc(size, 64);
#else
  void* p = nullptr;
  if (posix_memalign(&p, size >= kLargePage ? kLargePage : 64, size) != 0) return nullptr;
  AdviseLargePages(p, size);
  return p;
#endif
}
void FreeAligned(void* p) {
#if defined(_MSC_VER)
  _aligned_free(p);
#else
  free(p);
#endif
}

struct Arena {
  std::vector<Block> blocks;
  int block = 0;     // the one in use
  size_t used = 0;   // bytes of it
  ~Arena() {
    for (const Block& b : blocks) FreeAligned(b.memory);
  }
};
thread_local Arena arena;

}  // namespace

int Threads() { return ThePool().threads; }

void StopThreads() {
  Pool& pool = ThePool();
  std::lock_guard<std::mutex> turn(pool.turn);
  pool.Stop();
}

void SetThreads(int threads) {
  Pool& pool = ThePool();
  std::lock_guard<std::mutex> turn(pool.turn);
  if (threads < 1) threads = 1;
  if (threads > 1024) threads = 1024;
  if (threads == pool.threads) return;
  pool.Stop();
  pool.threads = threads;
}

void ExpectNextWithin(double milliseconds) {
  const auto asked = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(milliseconds));
  spin.store(std::clamp<Clock::duration>(asked, kSpin, kLongestSpin).count(), std::memory_order_relaxed);
}

void RunParts(int64_t parts, void (*run)(void*, int64_t), void* context) {
  Pool& pool = ThePool();
  if (insideLoop || parts < 2 || parts > 0x7fffffff || pool.threads < 2 || !pool.turn.try_lock()) {
    for (int64_t part = 0; part < parts; ++part) run(context, part);
    return;
  }
  pool.Run(parts, run, context);
  pool.turn.unlock();
}

void AdviseLargePages(void* memory, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kLargePage - 1) & ~(kLargePage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) & ~(kLargePage - 1);
  if (end > begin) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a wish: refused, nothing changes
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

Scratch::Scratch(int64_t floats) : block_(arena.block), used_(arena.used) {
  const size_t size = (static_cast<size_t>(floats > 0 ? floats : 1) * sizeof(float) + 63) & ~size_t{63};
  Arena& a = arena;
  while (true) {
    if (a.block == static_cast<int>(a.blocks.size())) {
      const size_t whole = size > (size_t{1} << 20) ? size : size_t{1} << 20;
      void* memory = AllocateAligned(whole);
      if (!memory) std::abort();  // no memory for scratch: nothing sensible can follow
      a.blocks.push_back({static_cast<char*>(memory), whole});
    }
    const Block& b = a.blocks[a.block];
    if (a.used + size <= b.size) {
      data_ = reinterpret_cast<float*>(b.memory + a.used);
      a.used += size;
      break;
    }
    if (a.used == 0) {  // nothing lives in this block: make it large enough
      FreeAligned(a.blocks[a.block].memory);
      void* memory = AllocateAligned(size);
      if (!memory) std::abort();
      a.blocks[a.block] = {static_cast<char*>(memory), size};
      continue;
    }
    ++a.block;
    a.used = 0;
  }
  if (poison.load(std::memory_order_relaxed)) {
    for (int64_t i = 0; i < floats; ++i) data_[i] = std::numeric_limits<float>::quiet_NaN();
  }
}

Scratch::~Scratch() {
  arena.block = block_;
  arena.used = used_;
}

void SetPoison(bool on) { poison.store(on); }

}  // namespace lab
