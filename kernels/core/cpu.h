// What this processor (and its operating system) can run; asked by the portable addon, which runs anywhere.
#ifndef LAB_CPU_H
#define LAB_CPU_H

#include <cstdint>

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace lab {

struct Cpu {
  bool avx2 = false;    // with FMA and F16C
  bool avx512 = false;  // F, BW, DQ, VL
  bool bf16 = false;    // avx512 and products of pairs of bfloat16
  bool amx = false;     // bf16 and tiles of bfloat16, which the system saves
};

inline Cpu DetectCpu() {
  Cpu cpu;
#if defined(_M_X64) || defined(__x86_64__)
  const auto ask = [](uint32_t leaf, uint32_t r[4], uint32_t sub = 0) {
#if defined(_MSC_VER)
    __cpuidex(reinterpret_cast<int*>(r), static_cast<int>(leaf), static_cast<int>(sub));
#else
    __cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
#endif
  };
  uint32_t r[4];
  ask(0, r);
  if (r[0] < 7) return cpu;
  ask(1, r);
  const uint32_t c1 = r[2];
  if (!((c1 >> 27) & 1)) return cpu;  // the system doesn't save wide registers
#if defined(_MSC_VER)
  const uint64_t saved = _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const uint64_t saved = low;
#endif
  ask(7, r);
  const uint32_t b7 = r[1], d7 = r[3], subleaves = r[0];
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6;
  cpu.avx2 = ymm && ((c1 >> 12) & 1) && ((c1 >> 28) & 1) && ((c1 >> 29) & 1) && ((b7 >> 5) & 1);
  cpu.avx512 = cpu.avx2 && zmm && ((b7 >> 16) & 1) && ((b7 >> 17) & 1) && ((b7 >> 30) & 1) && ((b7 >> 31) & 1);
  if (cpu.avx512 && subleaves >= 1) {
    ask(7, r, 1);
    cpu.bf16 = (r[0] >> 5) & 1;
  }
  cpu.amx = cpu.bf16 && (saved & 0x60000) == 0x60000 && ((d7 >> 24) & 1) && ((d7 >> 22) & 1);
#endif
  return cpu;
}

}  // namespace lab

#endif
