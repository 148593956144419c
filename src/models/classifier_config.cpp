#include <string>

#include "attend/base/error.h"
#include "attend/models/classifier.h"
#include "attend/models/summary.h"
#include "models/field_range.h"

namespace attend::models {
namespace {

constexpr std::int64_t kMaxSize = 1 << 24;  // no layer of this model is sensibly wider
constexpr std::int64_t kMaxLayers = 64;

std::string shown(double value) {
  std::string text = std::to_string(value);
  while (text.size() > 1 && text.back() == '0' && text[text.size() - 2] != '.') text.pop_back();
  return text;
}

void is_rate(const char* name, double value) {
  if (!(value >= 0.0 && value < 1.0))
    fail_usage("model." + std::string(name) + " is " + shown(value) + ": it must be in [0, 1)");
}

const char* name_of(Cell cell) {
  return cell == Cell::kLstm ? "LSTM" : cell == Cell::kGru ? "GRU" : "LSTMN";
}

std::int64_t cell_parameters(const ClassifierConfig& c, std::int64_t input) {
  const std::int64_t h = c.hidden, a = c.attention_width;
  if (c.cell == Cell::kLstmn) return 4 * h * (h + input + 1) + a * (2 * h + input + 1);
  const std::int64_t gates = c.cell == Cell::kLstm ? 4 : 3;
  const std::int64_t biases = c.cell == Cell::kLstm ? 1 : 2;
  return gates * h * (input + h + biases) * (c.bidirectional ? 2 : 1);
}

void check_lstmn(const ClassifierConfig& c) {
  in_field("attention.width", c.attention_width, 1, kMaxSize);
  if (c.bidirectional)
    fail_usage("model.bidirectional is true: an lstmn reads in one direction; set it to false");
  if (c.recurrent_dropout != 0)
    fail_usage("model.recurrent_dropout is " + shown(c.recurrent_dropout) +
               ": an lstmn has no one state before to drop; set it to 0");
}

void check_bert_classifier(const ClassifierConfig& c) {
  check_config(c.bert);
  in_field("classes", c.classes, 2, kMaxSize);
  in_field("max_length", c.max_length, 1, c.bert.max_positions - 2);
  in_field("vocabulary", c.vocabulary, c.bert.vocabulary - 1, c.bert.vocabulary - 1);
  in_field("embedding_width", c.embedding_width, c.bert.width, c.bert.width);
  in_field("begin_id", c.begin_id, 1, c.vocabulary);
  in_field("end_id", c.end_id, 1, c.vocabulary);
  is_rate("dropout", c.dropout);
  if (c.dropout != c.bert.dropout) fail_usage("model.dropout and model.bert.dropout differ");
  if (!c.mask_padding) fail_usage("model.mask_padding is false: BERT never reads padding");
  if (c.attention != Attention::kNone)
    fail_usage("model.attention: BERT has its own; it must be none");
}

std::vector<LayerSummary> summarize_bert(const ClassifierConfig& c) {
  const BertConfig& b = c.bert;
  const std::int64_t t = c.max_length + 2, outputs = c.classes == 2 ? 1 : c.classes;
  BertConfig rest = b;  // all but the words
  rest.vocabulary = 0;
  const std::int64_t words = b.vocabulary * b.width;
  const std::int64_t tables = b.width * (b.max_positions + b.token_types + 2);
  const std::string times = " × " + std::to_string(b.layers);
  return {{"embeddings.word", "Embedding", {-1, t, b.width}, words, !c.freeze_embedding},
          {"embeddings", "Position + Type + LayerNorm", {-1, t, b.width}, tables, true},
          {"encoder",
           "TransformerEncoderLayer" + times,
           {-1, t, b.width},
           parameters_of(rest) - tables,
           true},
          {"pooling", c.pooling == Pooling::kMean ? "Mean" : "First", {-1, b.width}, 0, true},
          {"dense", "Dense", {-1, outputs}, (b.width + 1) * outputs, true}};
}

}  // namespace

void check_config(const ClassifierConfig& c) {
  if (c.architecture == ClassifierArchitecture::kBert) return check_bert_classifier(c);
  in_field("vocabulary", c.vocabulary, 1, std::int64_t{1} << 31);
  in_field("max_length", c.max_length, 1, kMaxSize);
  in_field("embedding_width", c.embedding_width, 1, kMaxSize);
  in_field("hidden", c.hidden, 1, kMaxSize);
  in_field("layers", c.layers, 1, kMaxLayers);
  in_field("classes", c.classes, 2, kMaxSize);
  if (c.cell != Cell::kLstm && c.cell != Cell::kGru && c.cell != Cell::kLstmn)
    fail_usage("model.cell is " + std::to_string(static_cast<int>(c.cell)) +
               ": it must be lstm, gru or lstmn");
  if (c.cell == Cell::kLstmn) check_lstmn(c);
  if (c.attention != Attention::kNone && c.attention != Attention::kPool)
    fail_usage("model.attention is " + std::to_string(static_cast<int>(c.attention)) +
               ": it must be none or pool");
  is_rate("dropout", c.dropout);
  is_rate("recurrent_dropout", c.recurrent_dropout);
  if (!(c.embedding_l2 >= 0.0 && c.embedding_l2 <= 1e6))
    fail_usage("model.embedding_l2 is " + shown(c.embedding_l2) + ": it must be in [0, 1000000]");
  // A product of sizes that no machine holds is a mistyped config, not an allocation to try.
  const auto table = static_cast<double>(c.vocabulary + 1) * static_cast<double>(c.embedding_width);
  const auto width = static_cast<double>(c.hidden) * (c.bidirectional ? 2 : 1);
  const auto cell = 4.0 * static_cast<double>(c.hidden) *
                    (static_cast<double>(c.embedding_width) + width) *
                    static_cast<double>(c.layers);
  if (table + 2 * cell + width * static_cast<double>(c.classes) > 0x1p34)
    fail_usage(
        "model: vocabulary, embedding_width, hidden and classes together ask for more than "
        "2^34 parameters; make one of them smaller");
}

std::vector<LayerSummary> summarize(const ClassifierConfig& c) {
  check_config(c);
  if (c.architecture == ClassifierArchitecture::kBert) return summarize_bert(c);
  const std::int64_t t = c.max_length, width = c.hidden * (c.bidirectional ? 2 : 1);
  std::vector<LayerSummary> rows;
  rows.push_back({"embedding",
                  "Embedding",
                  {-1, t, c.embedding_width},
                  (c.vocabulary + 1) * c.embedding_width,
                  !c.freeze_embedding});
  const std::string cell = name_of(c.cell);
  std::string prefix = cell;
  for (char& letter : prefix) letter = static_cast<char>(letter - 'A' + 'a');
  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    LayerSummary row;
    row.name = prefix + (layer == 0 ? std::string() : "_" + std::to_string(layer));
    row.type = c.bidirectional ? "Bidirectional(" + cell + ")" : cell;
    const bool sequence = layer + 1 < c.layers || c.attention == Attention::kPool;
    row.shape =
        sequence ? std::vector<std::int64_t>{-1, t, width} : std::vector<std::int64_t>{-1, width};
    row.parameters = cell_parameters(c, layer == 0 ? c.embedding_width : width);
    rows.push_back(row);
  }
  if (c.attention == Attention::kPool)
    rows.push_back({"attention", "AttentionPool", {-1, width}, width + t, true});
  const std::int64_t outputs = c.classes == 2 ? 1 : c.classes;
  rows.push_back({"dense", "Dense", {-1, outputs}, (width + 1) * outputs, true});
  return rows;
}

}  // namespace attend::models
