#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attend/data/alignment.h"
#include "attend/data/catalogue.h"
#include "attend/data/dataset.h"

namespace attend::data {

/// A sentence and its translation.
struct SentencePair {
  std::string source, target;  // valid UTF-8, not empty
  Alignment alignment;         // between white-space tokens; empty when not known
  std::string file;            // of the source, for messages
  std::int64_t line = 0;       // 1-based
};

/// Pairs from one place. Every line that was read is a pair or is counted here.
struct ParallelSet {
  std::string name;
  std::vector<SentencePair> pairs;
  std::vector<BadLine> bad_lines;  // not UTF-8, NUL, an empty side, a bad alignment, …
  std::int64_t empty = 0;          // of the bad lines, those with an empty side
  std::int64_t capped = 0;         // pairs with a side cut to max_words
};

/// A parallel corpus with the splits it came with; validation and test are empty when it has only
/// one part.
struct ParallelCorpus {
  ParallelSet train, validation, test;
};

struct ParallelOptions {
  std::string source = "en";  // endings of the two files of a split: train.en, train.de
  std::string target = "de";
  std::int64_t max_words = 250;  // a longer side is cut there and the pair counted; 0: no limit
  std::size_t max_line_bytes = std::size_t{1} << 20;  // a longer line is refused
};

/// Two text files, line i of one the translation of line i of the other; either may be gzipped
/// (*.gz). A '\r' before a line's end is dropped. Throws kIo when a file cannot be read; kBadInput,
/// naming the files, for unequal numbers of lines, a damaged gzip file, UTF-16, a line over
/// max_line_bytes, and when no pair is left. Cost: linear; memory for the pairs only.
ParallelSet load_parallel_files(const std::string& source, const std::string& target,
                                const ParallelOptions& options = {});

/// Pairs in one file: *.tsv `source TAB target [TAB alignment]` with or without that header row, or
/// *.jsonl, one object a line with the keys "source", "target" and perhaps "alignment" (Pharaoh
/// format in both). Also *.tsv.gz and *.jsonl.gz. Errors as above.
ParallelSet load_pairs(const std::string& path, const ParallelOptions& options = {});

/// The same from bytes in memory, `is_jsonl` or TSV; `name` stands for the file in messages.
ParallelSet load_pairs_bytes(std::string_view bytes, const std::string& name, bool is_jsonl,
                             const ParallelOptions& options = {});

/// Loads by name: a catalogue set (multi30k, multi30k:de-en, number-words, number-words:to-words,
/// dates); two files `a.en,a.de`; a file of pairs; or a folder with train, validation (or val, dev)
/// and test parts, each NAME.SOURCE and NAME.TARGET (perhaps .gz; NAME may go on: test_2016_flickr)
/// or NAME.tsv or NAME.jsonl.
/// Throws as above, and kBadInput naming the nearest set for an unknown name.
ParallelCorpus load_parallel(const std::string& path_or_name, const ParallelOptions& options = {});

/// Made pairs in which the source of every target token is known (as alignment), split 80 : 10 : 10
/// so that no number or day occurs in two parts. A pure function of the options.
///   number-words  "three hundred and five" → "3 0 5", numbers below 1,000,000, short ones as
///                 frequent as long ones. Each digit has one sure link to the word that names it; a
///                 zero that no word names has possible links to the words on either side of its
///                 place. number-words:to-words is the other way round, for which each word that
///                 names digits is linked to them and "thousand", "hundred", "and" are possible
///                 with the digits beside them.
///   dates         "Wednesday , 3rd of March 2021" → "2 0 2 1 - 0 3 - 0 3", years 1900–2099 in ten
///                 written forms; digits are linked to the token they come from, hyphens possible
///                 with every token.
/// Throws kUsage unless 10 ≤ rows ≤ 500,000 (number-words) or 50,000 (dates).
ParallelCorpus make_number_words(const MakeOptions& options = {}, bool to_words = false);
ParallelCorpus make_dates(const MakeOptions& options = {});

/// The same by name: number-words, number-words:to-digits, number-words:to-words, dates.
ParallelCorpus make_pairs(const std::string& name, const MakeOptions& options = {});

/// "29000 pairs, 377534 source and 360706 target words; 2 lines with an empty side".
std::string describe_pairs(const ParallelSet& set);

/// "2 lines could not be used: a.en:3: …", "" when none; names at most `most`.
std::string describe_bad_lines(const ParallelSet& set, std::size_t most = 5);

}  // namespace attend::data
