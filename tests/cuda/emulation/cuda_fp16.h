// Half precision as a GPU has it: stored in 16 bits, converted, rounded to the nearest even.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

struct __half {
  uint16_t bits;
};

inline float __half2float(__half h) {
  int exponent = h.bits >> 10 & 31, fraction = h.bits & 1023;
  float a;
  if (exponent == 31) {
    a = fraction ? NAN : INFINITY;
  } else if (exponent == 0) {
    a = std::ldexp(float(fraction), -24);
  } else {
    a = std::ldexp(float(fraction + 1024), exponent - 25);
  }
  return h.bits >> 15 ? -a : a;
}

inline __half __float2half(float a) {
  uint16_t sign = std::signbit(a) ? 0x8000 : 0;
  a = std::fabs(a);
  if (std::isnan(a)) return {uint16_t(sign | 0x7fff)};
  if (a == 0) return {sign};
  if (a >= 65520) return {uint16_t(sign | 0x7c00)};
  int exponent;
  std::frexp(a, &exponent);
  int least = exponent < -13 ? -24 : exponent - 11;  // exponent of the last bit that is kept
  int fraction = int(std::nearbyint(std::ldexp(a, -least)));
  return {uint16_t(sign | (fraction + ((least + 24) << 10)))};
}
