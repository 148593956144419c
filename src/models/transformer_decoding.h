#pragma once
#include <cstdint>

#include "attend/models/decoding.h"
#include "attend/nn/position.h"
#include "attend/nn/transformer.h"

namespace attend::models {

/// How a Decoding carries what a Transformer's decoder keeps between steps. memory: behind whatever stands there already, keys and
/// values [B,H,S,D] of what is attended to, for each layer. rows: of each layer the rooms of the hypotheses' own keys and
/// values [B,K,H,capacity,D], of which the first `position` are filled.
void begin_rooms(nn::TransformerDecoder& decoder, const at::Tensor& memory, Decoding& d);

/// One step: x [B·K,1,C] → the decoder's output [B·K,1,C]. `first` is the place of the first keys in memory.
at::Tensor step_in_rooms(nn::TransformerDecoder& decoder, const at::Tensor& x,
                         const nn::DecoderPass& how, std::size_t first, Decoding& d);

/// Vectors ~ N(0, 1/C), so that times √C they are as large as the positions, and as a projection of normed states they begin
/// with scores of variance 1: [rows,C], stream `index` of the seed.
at::Tensor transformer_table(std::int64_t rows, std::int64_t width, std::uint64_t seed,
                             std::uint64_t index, at::ScalarType dtype);

/// √C · table[id] + position (Vaswani et al. 2017, §3.4, §3.5): ids [B,L] → [B,L,C]; `position` is that of the first token.
at::Tensor embed_at(const at::Tensor& table, const at::Tensor& ids, std::int64_t position,
                    nn::SinusoidalPosition& positions);

/// The attention that stands for a decoder's: the mean over the heads of the last layer but one, or of the only one (Garg et al.
/// 2019, §4.1).
inline std::int64_t aligned_layer(std::int64_t layers) { return layers > 1 ? layers - 2 : 0; }
/// A pass whose capture, if there is one, is of that layer alone.
nn::DecoderPass pass_seeing(std::int64_t aligned_layer, const nn::Pass& pass,
                            nn::AttentionCapture* seen);
/// [B,H,T,S] of the one layer that was captured → [B,T,S].
at::Tensor aligned(const nn::AttentionCapture& seen);

}  // namespace attend::models
