#include "train/schema_keys.h"

namespace attend::train {
namespace {

using models::Attention;
using models::Cell;

void add_attention_sizes(std::vector<SchemaEntry>& s) {
  const std::size_t scored = s.size();
  s.push_back(whole("model.attention.width", FIELD(model.attention_width), 1, 65536,
                    "width of additive and concat scores, of the predicted position and of an "
                    "lstmn's score, A"));
  only_for(s, scored, kWords);
  const std::size_t first = s.size();
  s.push_back(whole("model.heads", FIELD(model.heads), 1, 1024,
                    "transformer: attention heads, H, a divisor of model.embedding_width"));
  s.push_back(whole("model.feed_forward", FIELD(model.feed_forward), 1, 1 << 20,
                    "transformer: inner width of the feed-forward layers, F"));
  only_for(s, first, kWrite);
  const std::size_t normed = s.size();
  s.push_back(choice("model.norm", FIELD(model.norm), {"first", "last"},
                     "transformer: layer norm before each sublayer, or after its sum (the paper)"));
  only_for(s, normed, kTokens);
}

void add_translation_model(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(choice("model.architecture", FIELD(model.architecture),
                     {"bahdanau", "luong", "transformer", "lstmn"}, "whose encoder-decoder"));
  s.push_back(choice("model.attention.kind", FIELD(model.attend), {"none", "alignment"},
                     "none: the decoder gets the encoder's last state alone; alignment: it looks "
                     "back at every step"));
  s.push_back(choice("model.attention.score", FIELD(model.score),
                     {"additive", "dot", "general", "concat", "location", "scaled-dot", "cosine"},
                     "how well a query fits a key"));
  s.push_back(choice("model.attention.span", FIELD(model.span), {"global", "local-m", "local-p"},
                     "which keys take part: all, those near the query's own position, those near a "
                     "predicted one"));
  s.push_back(whole("model.attention.window", FIELD(model.window), 1, 65536,
                    "local spans: keys on each side, D"));
  s.push_back(choice("model.attention.fusion", FIELD(model.fusion), {"shallow", "deep"},
                     "lstmn: where the decoder looks at its encoder: after its step, by score and "
                     "span, or inside it"));
  s.push_back(choice("model.attention.choice", FIELD(model.choice), {"soft", "hard", "gumbel"},
                     "soft: the mean of the places by their weights; hard: one place, sampled in "
                     "training and learnt by REINFORCE; gumbel: one place, learnt through the "
                     "softmax with Gumbel noise"));
  s.push_back(real("model.attention.temperature", FIELD(model.temperature), 0.01, 100,
                   "gumbel: of that softmax"));
  s.push_back(flag("model.input_feeding", FIELD(model.input_feeding),
                   "luong: the attentional vector of a step enters the next"));
  s.push_back(flag("model.reverse_source", FIELD(model.reverse_source),
                   "luong: the source is read from its end"));
  s.push_back(choice("model.share_embeddings", FIELD(model.share_embeddings),
                     {"none", "target", "all"},
                     "transformer: target: its embedding is the output projection too; all: and "
                     "the source's (needs data.share_vocabulary)"));
  only_for(s, first, kTranslate);
}

void add_language_model(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(choice("model.architecture", FIELD(model.language), {"lstm", "lstmn", "transformer"},
                     "lstm: no attention; lstmn: an LSTM that looks back at its own states; "
                     "transformer: causal self-attention"));
  s.push_back(flag("model.share_embeddings", FIELD(model.share_embedding),
                   "the embedding is the output projection too"));
  only_for(s, first, kLanguage);
}

void add_captioning_model(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(choice("model.architecture", FIELD(model.caption_architecture),
                     {"lstm", "transformer"},
                     "lstm: Show, Attend and Tell; transformer: a Transformer's decoder over the "
                     "annotations, norms first"));
  s.push_back(whole("model.decoder_layers", FIELD(model.decoder_layers), 1, 64,
                    "transformer: layers of the decoder"));
  s.push_back(choice("model.attention.kind", FIELD(model.look), {"soft", "hard", "uniform"},
                     "soft: the mean under the map; hard: one place, sampled in training; uniform: "
                     "every place the same, to see what looking is worth"));
  s.push_back(whole("model.annotation_width", FIELD(model.annotation_width), 1, 65536,
                    "width of an annotation, D, and channels of the encoder's last convolutions; a "
                    "pretrained encoder has its own"));
  s.push_back(whole("model.stride", FIELD(model.stride), 2, 32,
                    "side of a place of the encoder's map in pixels: 2, 4, 8, 16 or 32; of a "
                    "pretrained MobileNet 8, 16 or 32, of SqueezeNet 8 or 16"));
  s.push_back(text("model.encoder.pretrained", FIELD(model.image_encoder),
                   "folder of an encoder that attend import made, a file that it reads, or "
                   "imagenet-cnn:mobilenet, imagenet-cnn:squeezenet; \"\": a small one, trained "
                   "along, of model.layers convolutions"));
  s.push_back(flag("model.encoder.frozen", FIELD(model.freeze_encoder),
                   "leave a pretrained encoder as it is and keep its annotations on disk; false "
                   "trains it too"));
  only_for(s, first, kCaption);
}

void add_generation_model(std::vector<SchemaEntry>& s) {
  const std::size_t first = s.size();
  s.push_back(whole("model.steps", FIELD(model.steps), 1, 4096, "steps of drawing, T"));
  s.push_back(
      whole("model.latent", FIELD(model.latent), 1, 65536, "latent variables of a step, Z"));
  s.push_back(choice("model.attention.kind", FIELD(model.windows), {"none", "window"},
                     "none: whole images are read and written; window: N x N Gaussian filters that "
                     "move"));
  s.push_back(whole("model.attention.read_size", FIELD(model.read_size), 1, 256,
                    "filters a side of the window that is read through, N"));
  s.push_back(whole("model.attention.write_size", FIELD(model.write_size), 1, 256,
                    "filters a side of the window that is written through, N"));
  s.push_back(choice("model.output", FIELD(model.output), {"bernoulli", "gaussian"},
                     "distribution of a pixel around the final canvas"));
  only_for(s, first, kGenerate);
}

}  // namespace

void add_model_keys(std::vector<SchemaEntry>& s) {
  const std::size_t worded = s.size();
  s.push_back(whole("model.embedding_width", FIELD(model.embedding_width), 1, 65536,
                    "width of a word's vector, E"));
  s.push_back(whole("model.hidden", FIELD(model.hidden), 1, 65536,
                    "units of the recurrent layer, H, per direction; a transformer has none"));
  s.push_back(
      whole("model.layers", FIELD(model.layers), 1, 64,
            "layers, of encoder and decoder each; of a captioner the encoder's convolutions"));
  s.push_back(
      real("model.dropout", FIELD(model.dropout), 0, 0.99,
           "share of a layer's inputs dropped, one mask per sequence (transformer: per element)"));
  only_for(s, worded, kWords);
  s[worded + 1].spec.tasks.clear();  // every task has a recurrent layer
  const std::size_t classified = s.size();
  s.push_back(choice("model.architecture", FIELD(model.classifier), {"recurrent", "bert"},
                     "recurrent: an LSTM or GRU, trained from nothing; bert: the encoder of "
                     "model.pretrained, fine-tuned, whose sizes and vocabulary it takes"));
  s.push_back(choice("model.pooling", FIELD(model.pooling), {"mean", "first"},
                     "bert: what stands for a sentence: the mean of its states, or that of [CLS]"));
  s.push_back(choice("model.cell", FIELD(model.cell), {"lstm", "gru", "lstmn"},
                     "recurrent cell; lstmn: looks back over its own states"));
  s.push_back(flag("model.bidirectional", FIELD(model.bidirectional), "read in both directions"));
  s.push_back(choice("model.attention.kind", FIELD(model.attention), {"none", "pool"},
                     "none: the last state; pool: the guide's attention over all states"));
  s.push_back(flag("model.mask_padding", FIELD(model.mask_padding),
                   "skip padding; false reads and attends to it, as the guide does"));
  s.push_back(real("model.recurrent_dropout", FIELD(model.recurrent_dropout), 0, 0.99,
                   "share of the previous state dropped, one mask per sequence"));
  s.push_back(real("model.embedding_l2", FIELD(model.embedding_l2), 0, 1e3,
                   "weight of the sum of squares of the embedding table in the loss"));
  s.push_back(text("model.pretrained", FIELD(model.pretrained),
                   "recurrent: file of word vectors (word2vec or GloVe text), \"\" = none; bert: "
                   "folder of an encoder in Hugging Face's layout, or minilm (attend data get "
                   "minilm)"));
  s.push_back(flag("model.freeze_embedding", FIELD(model.freeze_embedding),
                   "leave the word vectors as they are"));
  only_for(s, classified, kClass);
  add_attention_sizes(s);
  add_translation_model(s);
  add_language_model(s);
  add_captioning_model(s);
  add_generation_model(s);
}

}  // namespace attend::train
