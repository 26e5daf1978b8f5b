// The short causal convolution of some neighbouring channels with SiLU behind it, and its gradient, where a kernel has use for its values at once.
// u[t] = bias + Σ_k taps[k] x[t + k - (K - 1)], zeros before the first token; rows of x and of taps lie C floats apart.
#ifndef LAB_SSD_CONV_H
#define LAB_SSD_CONV_H

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"

namespace lab {
namespace ssd {

constexpr int64_t kMostTaps = 16;  // as conv_scan.ts allows

struct Conv {
  int64_t T, C, K;
  const float *x, *taps, *bias;  // [B, T, C], [K, C], [C] or nullptr

  // silu(u) of tokens t0 .. t1-1 to y, rows `ld` floats apart, for `width` channels from `channel` on; and, unless nullptr, its slope likewise.
  void Forward(int64_t b, int64_t channel, int64_t width, int64_t t0, int64_t t1, float* y, float* slope, int64_t ld) const {
    switch (K) {
      case 2: return Rows<2>(b, channel, width, t0, t1, y, slope, ld);
      case 3: return Rows<3>(b, channel, width, t0, t1, y, slope, ld);
      case 4: return Rows<4>(b, channel, width, t0, t1, y, slope, ld);
      default: return Rows<0>(b, channel, width, t0, t1, y, slope, ld);
    }
  }

  // From du [T + K - 1, width], zeros behind the last token: dx, and sums over tokens of dtaps and dbias, all at their own channels; dtaps and dbias
  // of this row of the batch.
  void Backward(int64_t b, int64_t channel, int64_t width, const float* du, Room dx, float* dtaps, float* dbias) const {
    switch (K) {
      case 2: return Slopes<2>(b, channel, width, du, dx, dtaps, dbias);
      case 3: return Slopes<3>(b, channel, width, du, dx, dtaps, dbias);
      case 4: return Slopes<4>(b, channel, width, du, dx, dtaps, dbias);
      default: return Slopes<0>(b, channel, width, du, dx, dtaps, dbias);
    }
  }

 private:
  static constexpr int64_t kSoonRows = 24;

  // u of the `left` channels from `channel` + j on, with the taps from k = `least` on.
  F Some(const float* at, int64_t channel, int64_t least, int64_t left) const {
    F u = bias ? LoadUpTo(bias + channel, left) : F(0.0f);
    for (int64_t k = least; k < K; ++k) u = Fma(LoadUpTo(taps + k * C + channel, left), LoadUpTo(at + (k - K + 1) * C, left), u);
    return u;
  }

  // `Known` taps, or any number of them for 0.
  template <int Known>
  void Rows(int64_t b, int64_t channel, int64_t width, int64_t t0, int64_t t1, float* y, float* slope, int64_t ld) const {
    constexpr int kTaps = Known > 0 ? Known : 1;
    const float* weight[kTaps];
    for (int k = 0; k < kTaps; ++k) weight[k] = taps + k * C + channel;
    for (int64_t t = t0; t < t1; ++t) {
      const float *at = x + (b * T + t) * C + channel, *row[kTaps];
      for (int k = 0; k < kTaps; ++k) row[k] = at + (k - kTaps + 1) * C;
      Soon(at, width, kSoonRows * C);
      const bool all = Known > 0 && t + 1 >= Known;
      float *to = y + (t - t0) * ld, *slopes = slope ? slope + (t - t0) * ld : nullptr;
      for (int64_t j = 0; j < width; j += W) {
        const int64_t left = width - j;
        F u;
        if (all && left >= W) {
          u = bias ? Load(bias + channel + j) : F(0.0f);
          LAB_UNROLL for (int k = 0; k < kTaps; ++k) u = Fma(Load(weight[k] + j), Load(row[k] + j), u);
        } else {
          u = Some(at + j, channel + j, std::max<int64_t>(0, K - 1 - t), left);
        }
        const F open = Sigmoid(u), silu = u * open;
        StoreUpTo(to + j, silu, left);
        if (slopes) StoreUpTo(slopes + j, Fma(silu, F(1.0f) - open, open), left);
      }
    }
  }

  template <int Known>
  void Slopes(int64_t b, int64_t channel, int64_t width, const float* du, Room dx, float* dtaps, float* dbias) const {
    int64_t j = 0;
    if (Known > 0)
      for (; j + 2 * W <= width; j += 2 * W) Columns<Known, 2>(b, channel + j, du + j, width, 2 * W, dx, dtaps, dbias);
    for (; j < width; j += W) Columns<Known, 1>(b, channel + j, du + j, width, width - j, dx, dtaps, dbias);
  }

  // V vectors of channels, of which the first `left` channels count.
  template <int Known, int V>
  void Columns(int64_t b, int64_t channel, const float* du, int64_t ld, int64_t left, Room dx, float* dtaps, float* dbias) const {
    constexpr int kMost = Known > 0 ? Known : static_cast<int>(kMostTaps);
    const int count = Known > 0 ? Known : static_cast<int>(K);
    const float* from = x + b * T * C + channel;
    const Room to = dx.Past(b * T * C + channel);
    const auto load = [left](const float* p, int v) { return V > 1 ? Load(p + v * W) : LoadUpTo(p, left); };
    const auto store = [left](float* p, int v, F value) { return V > 1 ? Store(p + v * W, value) : StoreUpTo(p, value, left); };
    F w[kMost][V], dw[kMost][V], db[V];
    LAB_UNROLL for (int v = 0; v < V; ++v) db[v] = F(0.0f);
    LAB_UNROLL for (int k = 0; k < kMost; ++k)
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        w[k][v] = k < count ? load(taps + k * C + channel, v) : F(0.0f);
        dw[k][v] = F(0.0f);
      }
    for (int64_t t = 0; t < T; ++t) {
      SoonLine(from + t * C, kSoonRows * C);
      SoonLine(static_cast<const char*>(to.Past((t + kSoonRows) * C).p));
      const float* last = du + (t + count - 1) * ld;
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        const F value = load(from + t * C, v);
        F sum(0.0f), g(0.0f);
        LAB_UNROLL for (int k = 0; k < kMost; ++k)
          if (k < count) {
            g = load(last - k * ld, v);
            sum = Fma(w[k][v], g, sum);
            dw[k][v] = Fma(value, g, dw[k][v]);
          }
        db[v] += g;
        to.Put(t * C + v * W, sum, V > 1 ? W : left);
      }
    }
    LAB_UNROLL for (int k = 0; k < kMost; ++k)
      LAB_UNROLL for (int v = 0; v < V; ++v)
        if (k < count) store(dtaps + k * C + channel, v, dw[k][v]);
    LAB_UNROLL for (int v = 0; v < V; ++v) store(dbias + channel, v, db[v]);
  }
};

}  // namespace ssd
}  // namespace lab

#endif
