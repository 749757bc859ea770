#include <algorithm>
#include <vector>

#include "kernels/convolution_norms/convolution_norms_impl.h"
#include "kernels/convolution_norms/direct.h"
#include "kernels/convolution_norms/gram_rows.h"

// A sample and a group at a time: the Gram matrix of x's places, then, a few rows at a time, that of g, whose entries
// meet sums of the former's over the taps. Columns are places of the padded input: what a tap adds to a position is
// then the same for all, sums are over runs of floats, and the margin's zeros take care of the edges.
namespace sotto::kernels {
namespace {

constexpr double kLargestSquare = 0x1p80;  // of Σ‖·‖²: no product with a norm can overflow a float

struct Padded {
  int64_t high, wide, places;  // of the padded input; `places` with room for a vector past the end
  int64_t at(const Place& p) const { return (p.d * high + p.h) * wide + p.w; }
};

Padded padded_of(const ConvolutionShape& s) {
  Padded p{s.input[1] + 2 * s.padding[1], s.input[2] + 2 * s.padding[2], 0};
  p.places = (s.input[0] + 2 * s.padding[0]) * p.high * p.wide + 2 * kWidth<Float16>;
  return p;
}

struct Scratch {
  std::vector<float> x_panels, g_panels;  // packed
  std::vector<float> tile_rows;           // a few rows of a Gram matrix, columns in their own order
  std::vector<float> x_gram;              // [places][padded]: the lower triangle
  std::vector<float> g_rows;              // [kGramRows][padded]: the lower triangle, twice what is off the diagonal
  std::vector<double> place_squares, u_norms, g_norms;
  std::vector<float> u_bounds, g_bounds;  // [padded]: the norms as floats, raised; 0 where no position is
  std::vector<const float*> taps;         // the rows of x_gram that a position meets, at its first column
};

// The columns up to `last` of a row to their places, those before `last` by a factor.
SOTTO_INLINE void spread(const float* row, int64_t last, const int64_t (&sizes)[3], const int64_t (&margin)[3],
                         const Padded& padded, float factor, float* to) {
  for (int64_t first = 0; first <= last; first += sizes[2]) {
    const Place line = place_of(first, sizes);
    float* const out = to + padded.at({line.d + margin[0], line.h + margin[1], margin[2]});
    const int64_t count = std::min(sizes[2], last + 1 - first);
    for (int64_t w = 0; w < count; ++w) out[w] = factor * row[first + w];
    if (first + count == last + 1) out[count - 1] = row[last];
  }
}

// As a float and not less.
inline float float_above(double norm) {
  return norm > 0 ? float(norm * (1 + 4 * kFloatUnit)) + 0x1p-126f : 0.0f;
}

struct Norms {
  double u_sum = 0, g_sum = 0, u_squares = 0, g_squares = 0, mass = 0;
};

// The norms of patches and gradients, raised. Sums that are not finite show what is not in the sample.
template <class V>
SOTTO_INLINE Norms take_norms(const ConvolutionShape& s, const Padded& padded, const float* x, const float* g,
                              Scratch& scratch) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  const int64_t places = s.places(), positions = s.positions();
  Norms norms;
  column_squares<V>(x, in, places, scratch.place_squares);
  for (const double square : scratch.place_squares) norms.u_squares += 0 * square;  // of places that none meets, too
  column_squares<V>(g, out, positions, scratch.g_norms);
  std::fill(scratch.u_bounds.begin(), scratch.u_bounds.end(), 0.0f);
  std::fill(scratch.g_bounds.begin(), scratch.g_bounds.end(), 0.0f);
  for (int64_t t = 0; t < positions; ++t) {
    const Place y = place_of(t, s.output);
    double patch = 0;
    for (int64_t k = 0; k < s.taps(); ++k) {
      const int64_t met = place_met(s, place_of(k, s.kernel), y);
      if (met >= 0) patch += scratch.place_squares[met];
    }
    patch = raised(patch, in * s.taps());
    const double square = raised(scratch.g_norms[t], out);
    const double u = std::sqrt(patch) * (1 + 4 * kDoubleUnit), v = std::sqrt(square) * (1 + 4 * kDoubleUnit);
    scratch.u_norms[t] = u, scratch.g_norms[t] = v;
    norms.u_sum += u, norms.g_sum += v, norms.u_squares += patch, norms.g_squares += square, norms.mass += u * v;
    scratch.u_bounds[padded.at(y)] = float_above(u);
    scratch.g_bounds[padded.at(y)] = float_above(v);
  }
  norms.mass = raised(norms.mass, positions);
  return norms;
}

struct Sums {
  double product = 0;               // Σ w ⟨g, g⟩⟨u, u⟩
  double u_error = 0, g_error = 0;  // Σ w ‖u‖‖u‖|⟨g, g⟩| and Σ w ‖g‖‖g‖|⟨u, u⟩|
};

// The pairs of position t with those up to it: columns [0, count) of `row` meet the sums of the taps' rows.
template <class V>
SOTTO_INLINE void add_pairs(const Scratch& scratch, const float* row, int64_t t, int64_t count, Sums& sums) {
  constexpr int64_t width = kWidth<V>;
  const float* const* const taps = scratch.taps.data();
  const size_t tap_count = scratch.taps.size();
  V u_error = {}, g_error = {};
  Doubles<V> products[2] = {};
  for (int64_t q = 0; q < count; q += width) {
    const int64_t present = count - q;
    V patch = {}, tap, pair, u_bound, g_bound;
    for (size_t k = 0; k < tap_count; ++k) {
      load(tap, taps[k] + q, present);
      patch += tap;
    }
    load(pair, row + q, present);
    load(u_bound, scratch.u_bounds.data() + q, present);
    load(g_bound, scratch.g_bounds.data() + q, present);
    u_error += u_bound * (pair < 0 ? -pair : pair);
    g_error += g_bound * (patch < 0 ? -patch : patch);
    typename LanesOf<V>::Half patches[2], pairs[2];
    std::memcpy(patches, &patch, sizeof(patch));
    std::memcpy(pairs, &pair, sizeof(pair));
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Doubles<V> a, b;
      widen(patches[half], a);
      widen(pairs[half], b);
      products[half] += a * b;
    }
  }
  products[0] += products[1];
  for (int k = 0; k < kDoubles<V>; ++k) sums.product += products[0][k];
  sums.u_error += scratch.u_norms[t] * lane_sum(u_error);
  sums.g_error += 2 * scratch.g_norms[t] * lane_sum(g_error);
}

template <class V>
SOTTO_INLINE Sums pair_sums(const ConvolutionShape& s, const Padded& padded, const float* x, const float* g,
                            Scratch& scratch) {
  constexpr int64_t rows = kGramRows<V>;
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  const int64_t places = s.places(), positions = s.positions();
  const int64_t none[3] = {0, 0, 0};
  pack_panels<V>(x, in, places, scratch.x_panels);
  for (int64_t first = 0; first < places; first += rows) {
    const int64_t stride = gram_rows<V>(in, places, scratch.x_panels.data(), first, scratch.tile_rows);
    for (int64_t y = first; y < std::min(first + rows, places); ++y)
      spread(scratch.tile_rows.data() + (y - first) * stride, y, s.input, s.padding, padded, 1.0f,
             scratch.x_gram.data() + y * padded.places);
  }
  pack_panels<V>(g, out, positions, scratch.g_panels);
  Sums sums;
  for (int64_t first = 0; first < positions; first += rows) {
    const int64_t stride = gram_rows<V>(out, positions, scratch.g_panels.data(), first, scratch.tile_rows);
    for (int64_t t = first; t < std::min(first + rows, positions); ++t) {
      float* const row = scratch.g_rows.data();
      const Place y = place_of(t, s.output);
      spread(scratch.tile_rows.data() + (t - first) * stride, t, s.output, none, padded, 2.0f, row);
      scratch.taps.clear();
      for (int64_t k = 0; k < s.taps(); ++k) {
        const Place tap = place_of(k, s.kernel);
        const int64_t met = place_met(s, tap, y);
        if (met < 0) continue;
        const Place shift{tap.d * s.dilation[0], tap.h * s.dilation[1], tap.w * s.dilation[2]};
        scratch.taps.push_back(scratch.x_gram.data() + met * padded.places + padded.at(shift));
      }
      add_pairs<V>(scratch, row, t, padded.at(y) + 1, sums);
    }
  }
  return sums;
}

// An upper bound on ‖W‖² of one group; what it misses of ‖W‖ is within the doubles' roundings of the mass.
template <class V>
SOTTO_INLINE double group_square(const ConvolutionShape& s, const Padded& padded, const float* x, const float* g,
                                 const Norms& norms, Scratch& scratch) {
  if (norms.mass == 0) return 0;
  if (!(norms.u_squares < kLargestSquare && norms.g_squares < kLargestSquare)) return direct_square<V>(s, x, g);
  const Sums sums = pair_sums<V>(s, padded, x, g, scratch);
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups, positions = s.positions();
  const double u_gamma = gamma_of(gram_roundings(in) + double(s.taps()), kFloatUnit);
  const double g_gamma = gamma_of(gram_roundings(out), kFloatUnit), squared_mass = norms.mass * norms.mass;
  const double of_bounds = 1 + gamma_of(double(padded.places) / kWidth<V> + 16, kFloatUnit);
  const double of_doubles = double(positions * positions + 64) * kDoubleUnit * squared_mass;
  const double of_underflow =  // each multiplication of floats may lose 2^-150, of the entries and of their bounds
      0x1p-149 * (double(in * s.taps()) * norms.g_sum * norms.g_sum + double(out) * norms.u_sum * norms.u_sum +
                  double(padded.places) * (norms.u_sum + norms.g_sum));
  const double error = ((u_gamma * sums.u_error + g_gamma * sums.g_error) * of_bounds +
                        u_gamma * g_gamma * squared_mass + of_doubles + of_underflow) *
                       (1 + 1e-9);
  if (!(error <= kWorstBoxError * sums.product)) return direct_square<V>(s, x, g);
  return sums.product + error;
}

struct AddNorms {
  template <class V>
  static SOTTO_INLINE void run(const ConvolutionNorms& work, int64_t begin, int64_t end) {
    const ConvolutionShape& s = work.shape;
    const Padded padded = padded_of(s);
    const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
    const int64_t places = s.places(), positions = s.positions();
    Scratch scratch;
    scratch.x_gram.resize(static_cast<size_t>(places * padded.places));
    for (std::vector<float>* const row : {&scratch.g_rows, &scratch.u_bounds, &scratch.g_bounds})
      row->resize(static_cast<size_t>(padded.places));
    scratch.u_norms.resize(static_cast<size_t>(positions));
    for (int64_t i = begin; i < end; ++i) {
      double square = 0, mass = 0;
      for (int64_t group = 0; group < s.groups; ++group) {
        const float* const x = work.x + (i * s.in_channels + group * in) * places;
        const float* const g = work.g + (i * s.out_channels + group * out) * positions;
        const Norms norms = take_norms<V>(s, padded, x, g, scratch);
        const bool finite = norms.u_squares < INFINITY && norms.g_squares < INFINITY;
        mass += finite ? norms.mass : NAN;
        if (finite) square += group_square<V>(s, padded, x, g, norms, scratch);
      }
      const double of_doubles = 2 * double(positions + 8) * kDoubleUnit;  // of a direct sum
      add_up(work.squared[i], mass > 0 ? raised_norm(square, mass, work.rounding + of_doubles) : mass);
    }
  }
};

}  // namespace

void add_convolution_norms_cpu(const ConvolutionNorms& work, int64_t begin, int64_t end, InstructionSet set) {
  run_on<AddNorms>(set, work, begin, end);
}

}  // namespace sotto::kernels
