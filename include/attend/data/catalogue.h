#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attend/data/dataset.h"

namespace attend::data {

/// A file of a catalogue set, with what it must be.
struct CatalogueFile {
  std::string name;  // beneath the set's folder
  std::string sha256;
};

/// One data set that the program knows by name.
struct CatalogueSet {
  std::string name;   // "uci-sentiment"
  std::string title;  // one line
  std::string task;   // "classification", "translation", "language", "captioning", "generation"; or
                      // "encoder", "image-encoder": a pretrained model instead of data
  std::string licence;
  std::string citation;
  std::string source;                 // where `get` takes it from, or "generated"
  std::vector<std::string> variants;  // full names: "uci-sentiment:amazon", …
  std::vector<CatalogueFile> files;   // empty when generated
  bool generated = false;
  bool fetchable = true;    // `get` has an address for it; else it must lie under ATTEND_DATA
  std::string made_from{};  // the set whose files a generated one is made of, "" when of none
};

/// Every set, in order of name.
const std::vector<CatalogueSet>& catalogue();

/// The set of a name, its variant cut off ("sst:fine" gives sst), or nullptr. Names are `set`,
/// `set:variant` or `set/variant`; uci-sentiment takes several: `uci-sentiment:amazon+yelp`.
const CatalogueSet* find_set(std::string_view name);

/// The names nearest to a mistyped one, best first, at most three; empty when nothing is near.
std::vector<std::string> nearest_names(const std::string& name);

/// $ATTEND_CACHE, else $XDG_CACHE_HOME/attend, else ~/.cache/attend.
std::string cache_folder();

/// The folder that holds every file of the set: beneath each folder of $ATTEND_DATA (a ':' list) in
/// order, then cache_folder()/data, then /usr/share/datasets (Debian's packages); nullopt when none does. A generated set needs none.
std::optional<std::string> find_folder(const CatalogueSet& set);

/// Where the set is: its folder, or "generated"; nullopt when its files, or those it is made from, are not on this machine.
std::optional<std::string> place_of(const CatalogueSet& set);

/// Loads a catalogue set. hutto-reviews: Amazon sentences (`:film` for the film ones, `:amazon`
/// spelled out), label = sign of the mean rating, ratings of exactly 0 left out and counted,
/// grouped by review; uci-sentiment: amazon, imdb and yelp merged in that order, or those named;
/// sst: train, validation, test, binary (`:fine` for five classes); synthetic-reviews: generated
/// (2,000 rows, seed 0). Throws kBadInput for an unknown variant and for a set of another task
/// (sentence pairs: load_parallel; running text: load_running_text; images with captions:
/// load_captions; images: load_labelled_images), kIo "… is not on this machine:
/// run `attend data get NAME`".
Corpus load_set(const std::string& name);

/// Running text for language models, each part as one string of UTF-8; validation and test are
/// empty when the set has only one part.
struct RunningText {
  std::string train, validation, test;
};

/// tinyshakespeare: the first 90 % train, then 5 % validation and 5 % test, cut at line ends;
/// war-and-peace: its own three parts; a folder: train.txt, and validation.txt (or valid, val, dev) and
/// test.txt where they are; a file: all of it is train. Throws as load_set, and kBadInput naming the file
/// for text that is empty, not UTF-8 or holds a NUL byte.
RunningText load_running_text(const std::string& path_or_name);

/// The text in two, cut at the line end at or behind `share` of its bytes (at its end when no line ends there).
std::pair<std::string, std::string> cut_text(const std::string& text, double share);

/// What `attend data info` prints beyond CatalogueSet: counted from the data when it is present.
struct SetState {
  std::optional<std::string> folder;  // as place_of
  std::vector<std::pair<std::string, std::string>>
      balance;  // variant or split, describe_balance + notes
};
SetState set_state(const CatalogueSet& set);

/// Called now and then during `get`: what is being done, bytes so far and in all (0 when unknown).
using Progress =
    std::function<void(const std::string& what, std::int64_t done, std::int64_t total)>;

/// Fetches a set into cache_folder()/data/NAME and returns that folder; returns at once when it is
/// already there or in ATTEND_DATA. Interrupted downloads resume; nothing is put in place before
/// every file has its SHA-256. Throws kIo when the network (or Python, for hutto-reviews) is
/// missing, saying what to do; kBadInput when bytes are wrong.
std::string get_set(const std::string& name, const Progress& progress = {});

/// What `attend data make` generates.
struct MakeOptions {
  std::int64_t rows = 2000;
  std::uint64_t seed = 0;
  std::int64_t size =
      0;  // side of generated images in pixels; 0: 64 of shapes, 60 of cluttered-mnist
  std::int64_t digits = 2, clutter = 4;  // of an image of cluttered-mnist
};

/// Short reviews made by a small grammar in which the deciding words are known: sentiment words,
/// turned round by a negation, among fillers and distractors. Example::truth marks the words that
/// decide the label. Half of the rows of each class, a pure function of the options. Throws kUsage
/// unless 2 ≤ rows ≤ 10,000,000.
Dataset make_synthetic_reviews(const MakeOptions& options = {});

/// Writes the generated set `name` to `folder` (made when missing). synthetic-reviews: NAME.tsv
/// (text TAB label) and NAME.truth.jsonl ({"text","label","truth"}). Sentence pairs: NAME/train.tsv,
/// NAME/validation.tsv and NAME/test.tsv (source TAB target TAB alignment in Pharaoh format), which
/// load_parallel(FOLDER/NAME) reads. shapes: NAME/train, NAME/validation and NAME/test, each with PNG
/// files and captions.json, which load_captions(FOLDER/NAME) reads. cluttered-mnist: IDX files in NAME (images, labels, boxes of
/// both parts), which load_labelled_images(FOLDER/NAME) reads. Returns the paths written (of shapes, the captions.json).
std::vector<std::string> make_set(const std::string& name, const std::string& folder,
                                  const MakeOptions& options = {});

}  // namespace attend::data
