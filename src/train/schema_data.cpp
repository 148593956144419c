#include "train/schema_keys.h"

namespace attend::train {
namespace {

/// Of texts that are written.
void add_text_keys(std::vector<SchemaEntry>& s) {
  const std::size_t translated = s.size();
  s.push_back(
      text("data.source", FIELD(data.source), "language translated from: the ending of its files"));
  s.push_back(text("data.target", FIELD(data.target), "language translated to"));
  s.push_back(flag("data.share_vocabulary", FIELD(data.share_vocabulary),
                   "one vocabulary for both languages"));
  only_for(s, translated, kTranslate);
  const std::size_t spelt = s.size();
  s.push_back(choice(
      "data.tokens", FIELD(data.tokens), {"words", "bpe", "characters"},
      "what one token is: a word, a piece of one learnt by byte-pair encoding, or a character"));
  only_for(s, spelt, kTokens);
  const std::size_t written = s.size();
  s.push_back(whole("data.vocabulary_size", FIELD(data.vocabulary_size), 4, 10'000'000,
                    "most tokens of a vocabulary, the four special ones included"));
  s.push_back(whole("data.min_count", FIELD(data.min_count), 1, kMany,
                    "tokens = words: rarer ones are unknown"));
  only_for(s, written, kWrite);
  const std::size_t ended = s.size();
  s.push_back(whole("data.max_tokens", FIELD(data.max_tokens), 1, 65536,
                    "most tokens of a sentence; longer training rows are left out and counted, "
                    "longer input is refused"));
  only_for(s, ended, kSentences);
  const std::size_t rows = s.size();
  s.push_back(whole("data.row_tokens", FIELD(data.row_tokens), 1, 65536,
                    "tokens of a row, T: what can be looked back on, at most"));
  only_for(s, rows, kLanguage);
}

/// Of images.
void add_image_keys(std::vector<SchemaEntry>& s) {
  const std::size_t captioned = s.size();
  s.push_back(whole("data.image_size", FIELD(data.caption_image_size), 2, 1024,
                    "side of the square that images are resized to, in pixels"));
  s.push_back(whole("data.images", FIELD(data.images), 10, 50'000,
                    "shapes: images that are made, 80 : 10 : 10"));
  only_for(s, captioned, kCaption);
  const std::size_t generated = s.size();
  s.push_back(choice("data.binarise", FIELD(data.binarise), {"sample", "threshold", "none"},
                     "pixels become black or white: by chance, anew in each epoch; above one half; "
                     "not at all"));
  s.push_back(whole("data.image_size", FIELD(data.image_size), 0, 4096,
                    "a folder's images are resized to this height and width; 0: they must all be "
                    "of one size. cluttered-mnist: side of the images that are made, 0: 60"));
  s.push_back(whole("data.images", FIELD(data.images), 10, 100'000,
                    "cluttered-mnist: images that are made, a tenth of them for the test"));
  s.push_back(choice("data.colour", FIELD(data.colour), {"auto", "grey", "rgb"},
                     "channels of a folder's images; auto: grey when all of them are"));
  only_for(s, generated, kGenerate);
}

}  // namespace

void add_data_keys(std::vector<SchemaEntry>& s) {
  s.push_back(text(
      "data.name", FIELD(data.name),
      "data set of the catalogue (attend data list), or path of a TSV, CSV, JSONL or UCI file; of "
      "captions a folder, COCO's JSON, Flickr8k's token file or CSV"));
  s.push_back(
      real("data.validation", FIELD(data.validation), 0, 0.9, "share of rows for validation"));
  s.push_back(real("data.test", FIELD(data.test), 0, 0.9, "share of rows for the test"));
  s.push_back(whole("data.split_seed", FIELD(data.split_seed), 0, kMany,
                    "seed of random splits, apart from train.seed"));
  const std::size_t classified = s.size();
  s.push_back(text("data.extra", FIELD(data.extra),
                   "data set whose rows are added to the training rows alone; texts that occur in "
                   "data.name are left out"));
  s.push_back(whole("data.max_length", FIELD(data.max_length), 1, 4096,
                    "words of a text that are read, T"));
  s.push_back(choice("data.padding", FIELD(data.padding), {"pre", "post"},
                     "side on which short texts are padded"));
  s.push_back(choice("data.truncating", FIELD(data.truncating), {"pre", "post"},
                     "side on which long texts are cut (Keras' default is pre)"));
  s.push_back(whole("data.num_words", FIELD(data.num_words), 0, kMany,
                    "as Keras' num_words: ids below it are kept; 0 = the whole vocabulary"));
  s.push_back(text("data.oov", FIELD(data.oov),
                   "word that stands for unknown ones, \"\" = leave them out"));
  s.push_back(choice("data.vocabulary", FIELD(data.vocabulary), {"train", "all"},
                     "texts whose words get an id: the training rows', or the held-out rows' too"));
  s.push_back(choice("data.split", FIELD(data.split),
                     {"last", "shuffled", "stratified", "folds", "predefined"},
                     "how rows are parted: last rows, after a shuffle, the same within each label, "
                     "folds, or as the data say"));
  s.push_back(whole("data.folds", FIELD(data.folds), 2, 1000, "split = folds: number of folds"));
  s.push_back(
      whole("data.fold", FIELD(data.fold), 0, 999, "split = folds: the fold that is the test"));
  s.push_back(whole("data.inner_folds", FIELD(data.inner_folds), 0, 1000,
                    "split = folds: folds of the other rows for validation; 0 = a share "
                    "data.validation of them"));
  s.push_back(whole("data.inner_fold", FIELD(data.inner_fold), 0, 999,
                    "split = folds: the inner fold that validates"));
  only_for(s, classified, kClass);
  const std::size_t worded = s.size();
  s.push_back(flag("data.lower", FIELD(data.lower), "lower-case the text"));
  only_for(s, worded, kWords);
  add_text_keys(s);
  add_image_keys(s);
}

}  // namespace attend::train
