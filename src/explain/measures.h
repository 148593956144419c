#pragma once
#include <cstdint>
#include <vector>

#include "attend/explain/sentiment.h"

/// What the model is asked, in rows of ids. The only part of this room that touches tensors.
namespace attend::explain {

/// The words that a model reads, in its order.
struct Row {
  std::vector<std::int64_t> ids;    // ≤ max_length
  std::vector<std::size_t> places;  // word of the input behind each id
};

/// Words with an id, without word `skip`, cut to max_length. `skip` = words.size(): all of them.
Row encode(const std::vector<Word>& words, std::size_t skip, const models::ClassifierConfig& config,
           Truncate truncate);

struct RowOutput {
  std::vector<double> probabilities;          // one a class
  std::vector<double> weights;                // one an id
  double on_padding = 0;                      // the weight of all padded positions
  bool attends = false;                       // the model has attention
  std::vector<SelfAttention> self_attention;  // over ids
};

/// Forward passes of options.batch rows without gradients or dropout.
std::vector<RowOutput> forward_rows(models::Classifier& model, const std::vector<Row>& rows,
                                    const Options& options, bool uniform_attention = false);

/// Adds the model's self-attention, if it has any. Of an LSTMN that does not pool, its last step's in the last layer are the
/// weights.
void add_row_self_attention(std::vector<RowOutput>& outputs, models::Classifier& model,
                            const std::vector<Row>& rows, const Options& options);

/// gradient × input of each id of each row, on the logit of class predicted[row] against the rest.
std::vector<std::vector<double>> gradient_rows(models::Classifier& model,
                                               const std::vector<Row>& rows,
                                               const std::vector<std::int64_t>& predicted,
                                               const Options& options);

}  // namespace attend::explain
