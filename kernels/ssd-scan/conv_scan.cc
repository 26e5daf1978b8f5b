// Mamba-2's scan of short sequences with the convolution before it: values are convolved head by head as they are wanted, so neither they nor their slopes
// are ever whole in memory; the maps, which all heads of a group share, are convolved for some rows of the batch at a time.
#include "conv.h"
#include "whole_tasks.h"

namespace {

using namespace lab;
using ssd::Task;

struct ConvScanCall {
  ssd::Conv conv;
  ssd::Sizes s;
  int64_t values, maps;  // channels: values, then B and C of all groups
  const float *dt, *A, *D;
  explicit ConvScanCall(const Call& c)
      : conv{c.n[1], 0, c.n[6], c.In<float>(0), c.In<float>(1), c.In<float>(2)}, s(c.n, false, false), values(s.H * s.P), maps(2 * s.G * s.N),
        dt(c.In<float>(3)), A(c.In<float>(4)), D(c.In<float>(5)) {
    conv.C = values + maps;
    s.mapStep = maps;
  }
  // The scan over convolved maps that begin with batch row b0.
  ssd::Whole Scan(const float* convolved, int64_t b0) const {
    ssd::Whole w(s, {nullptr, dt, A, convolved, convolved + maps / 2, D});
    w.first = b0;
    return w;
  }
  // Maps of batch rows b0 .. b1-1 to [b1 - b0, T, maps], and their slopes likewise, unless nullptr.
  void Maps(int64_t b0, int64_t b1, float* to, float* slope) const {
    const int64_t parts = (s.T + ssd::kTile - 1) / ssd::kTile;
    ParallelFor((b1 - b0) * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / parts, t = i % parts * ssd::kTile;
        conv.Forward(b0 + b, values, maps, t, std::min(s.T, t + ssd::kTile), to + (b * s.T + t) * maps, slope ? slope + (b * s.T + t) * maps : nullptr, maps);
      }
    });
  }
};

void ConvScan(const Call& c) {
  const ConvScanCall p(c);
  const ssd::Sizes& s = p.s;
  const ssd::HeadRows of{s};
  float* y = c.Out<float>(0);
  const ssd::Whole shape = p.Scan(nullptr, 0);
  const int64_t together = std::min(s.B, shape.Together());
  Scratch maps(together * s.T * p.maps), grams(together * s.G * shape.Matrix());
  ssd::InRounds(shape, [&](int64_t b0, int64_t b1) {
    p.Maps(b0, b1, maps, nullptr);
    const ssd::Whole w = p.Scan(maps, b0);
    ssd::Grams(w, b0, b1, grams);
    ssd::EachTask<ssd::ForwardRoom>(w, b0, b1, [&] { return ssd::ForwardRoom(s); }, [&](const Task& on, int64_t, ssd::ForwardRoom& room) {
      const float* gram = grams + ((on.b - b0) * s.G + on.g) * w.Matrix();
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows raw{p.conv.x + on.b * s.T * p.conv.C + h * s.P, p.conv.C}, ys = of.Y(y, on.b, h);
        const ssd::Wanted next = of.Next(raw, on, h), at = of.AtEnd(ys);
        p.conv.Forward(on.b, h * s.P, s.P, 0, s.T, room.x, nullptr, s.P);
        ssd::WholeForward{w}.Head(on.b, h, gram, {room.x, s.P}, {room.y, s.P}, false, room.weights, [&](int64_t part, int64_t parts) {
          next.Ask(part, parts);
          at.Ask(part, parts);
        });
        ssd::CopyRows(s.T, s.P, {room.y, s.P}, ssd::Writable(ys));
      }
    });
  });
}

struct ConvBackwardRoom : ssd::BackwardRoom {
  Scratch slope;
  // dx becomes du, with zeros behind the last token.
  ConvBackwardRoom(const ssd::Whole& w, int64_t K) : ssd::BackwardRoom(w, K - 1), slope(w.s.T * w.s.P) {
    std::fill_n(dx + w.s.T * w.s.P, (K - 1) * w.s.P, 0.0f);
  }
};

void ConvScanGrad(const Call& c) {
  const ConvScanCall p(c);
  const ssd::Sizes& s = p.s;
  const ssd::Conv& conv = p.conv;
  const ssd::HeadRows of{s};
  const float* dy = c.In<float>(6);
  const Room dMixed = c.Result(0);
  std::vector<double> sums(static_cast<size_t>(2 * s.B * s.H));
  double *dA = sums.data(), *dD = dA + s.B * s.H;
  const ssd::Whole shape = p.Scan(nullptr, 0);
  const int64_t together = std::min(s.B, shape.Together()), matrix = shape.Matrix(), width = (conv.K + 1) * conv.C;
  Scratch partial(s.B * width);  // of each row of the batch: dtaps, then dbias
  Scratch maps(together * s.T * p.maps), slopes(together * s.T * p.maps), dMaps(together * s.T * p.maps);
  Scratch grams(together * s.G * matrix), dGrams(together * s.G * shape.s.slices * matrix);
  ssd::InRounds(shape, [&](int64_t b0, int64_t b1) {
    p.Maps(b0, b1, maps, slopes);
    const ssd::Whole w = p.Scan(maps, b0);
    const ssd::WholeBackward back{w, c.Out<float>(3), dMaps, dMaps + p.maps / 2, dA, dD};
    ssd::Grams(w, b0, b1, grams);
    ssd::EachTask<ConvBackwardRoom>(w, b0, b1, [&] { return ConvBackwardRoom(w, conv.K); }, [&](const Task& on, int64_t task, ConvBackwardRoom& room) {
      const float* gram = grams + ((on.b - b0) * s.G + on.g) * matrix;
      float *dGram = dGrams + task * matrix, *sum = partial + on.b * width;
      std::fill_n(dGram, matrix, 0.0f);
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows raw{conv.x + on.b * s.T * conv.C + h * s.P, conv.C}, dys = of.Y(dy, on.b, h);
        const ssd::Wanted next = of.Next(raw, on, h), nextDy = of.Next(dys, on, h);
        conv.Forward(on.b, h * s.P, s.P, 0, s.T, room.x, room.slope, s.P);
        ssd::CopyRows(s.T, s.P, dys, {room.dy, s.P});
        back.Head(on.b, h, gram, {room.x, s.P}, {room.dy, s.P}, {room.dx, s.P}, false, dGram, room.work, [&](int64_t part, int64_t parts) {
          next.Ask(part, parts);
          nextDy.Ask(part, parts);
        });
        for (int64_t i = 0; i < s.T * s.P; i += W) {
          const int64_t left = s.T * s.P - i;
          StoreUpTo(room.dx + i, LoadUpTo(room.dx + i, left) * LoadUpTo(room.slope + i, left), left);
        }
        conv.Backward(on.b, h * s.P, s.P, room.dx, dMixed, sum, sum + conv.K * conv.C);
      }
    });
    back.Maps(b0, b1, dGrams);
    // The maps' slopes on through the convolution, some channels at a time.
    constexpr int64_t kSome = 64;
    const int64_t parts = (p.maps + kSome - 1) / kSome;
    ParallelFor((b1 - b0) * parts, 1, [&](int64_t begin, int64_t end) {
      Scratch du((s.T + conv.K - 1) * kSome);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / parts, j0 = i % parts * kSome, some = std::min(kSome, p.maps - j0), channel = p.values + j0;
        float* sum = partial + (b0 + b) * width;
        for (int64_t t = 0; t < s.T; ++t)
          for (int64_t j = 0; j < some; j += W) {
            const int64_t at = (b * s.T + t) * p.maps + j0 + j, left = some - j;
            StoreUpTo(du + t * some + j, LoadUpTo(dMaps + at, left) * LoadUpTo(slopes + at, left), left);
          }
        std::fill_n(du + s.T * some, (conv.K - 1) * some, 0.0f);
        conv.Backward(b0 + b, channel, some, du, dMixed, sum, sum + conv.K * conv.C);
      }
    });
  });
  SumParts(partial, s.B, width, conv.K * conv.C, c.Out<float>(1));
  SumParts(partial + conv.K * conv.C, s.B, width, conv.C, c.Out<float>(2));
  ssd::SumRows(s, dA, c.Out<float>(4));
  ssd::SumRows(s, dD, c.Out<float>(5));
}

// May be halves: the slopes of what is convolved.
uint64_t GradHalved(const Call& c) { return c.OutBit(0); }

}  // namespace

LAB_KERNEL("ConvScan", ConvScan);
LAB_KERNEL("ConvScanGrad", ConvScanGrad, GradHalved);
