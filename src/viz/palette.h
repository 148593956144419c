#pragma once
#include <cstdint>

namespace attend::viz {

/// The page's ramp (assets/base.css), 0xRRGGBB by step 0…10: on a light and on a dark ground.
inline constexpr std::uint32_t kRampLight[] = {0xfcfcfa, 0xd8e8fd, 0xb9d4f8, 0x9cc0f1,
                                               0x80ace8, 0x6698dc, 0x4d85ce, 0x3771bd,
                                               0x235ea9, 0x0c4c95, 0x003b7b};
inline constexpr std::uint32_t kRampDark[] = {0x14161a, 0x0f2841, 0x12395e, 0x164b7b,
                                              0x1f5e97, 0x2d71b1, 0x4085c9, 0x569ade,
                                              0x70afef, 0x8cc4fe, 0xb5d8fe};
inline constexpr int kLastBlackTextLight = 6;  // text is black up to this step, then white
inline constexpr int kLastWhiteTextDark = 5;   // text is white up to this step, then black

inline constexpr std::uint32_t kInk = 0x1b1d21, kSoft = 0x565b65, kRule = 0xdcdcd6,
                               kEdge = 0x868b94, kFor = 0x4a505b, kAgainst = 0xb4430c,
                               kLook = 0x1d4f91, kPaper = 0xfcfcfa;

}  // namespace attend::viz
