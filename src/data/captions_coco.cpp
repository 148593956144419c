// Captions in COCO's form of JSON.
#include <unordered_map>

#include "attend/base/error.h"
#include "data/caption_rows.h"
#include "data/json.h"

namespace attend::data {
namespace {

using nlohmann::json;

const json& list_of(const json& root, const char* key, const std::string& name) {
  const auto found = root.is_object() ? root.find(key) : root.end();
  if (!root.is_object() || found == root.end() || !found->is_array())
    fail_input(name + ": no list \"" + key +
               "\"; expected COCO's form: {\"images\": [{\"id\", \"file_name\"}, …], "
               "\"annotations\": [{\"image_id\", \"caption\"}, …]}");
  return *found;
}

/// A member's text, or "" when it is missing or none.
std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

/// An id as a key, a number or a text; "" when it is missing or neither.
std::string id_of(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  const bool is_id = found != object.end() && (found->is_number_integer() || found->is_string());
  return is_id ? found->dump() : "";
}

std::unordered_map<std::string, std::string> files_by_id(const json& images,
                                                         const std::string& name) {
  std::unordered_map<std::string, std::string> out;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::string id = id_of(images[i], "id"), file = text_of(images[i], "file_name");
    const std::string where = name + ": image " + std::to_string(i + 1);
    if (id.empty() || file.empty()) fail_input(where + " has no id or no file_name");
    if (!out.emplace(id, file).second) fail_input(where + ": the id " + id + " occurs twice");
  }
  return out;
}

/// False when a region is not of the documented form.
bool read_regions(const json& annotation, std::vector<Region>& out) {
  const auto regions = annotation.find("regions");
  if (regions == annotation.end()) return true;
  if (!regions->is_array()) return false;
  for (const json& region : *regions) {
    if (!region.is_object() || !region.contains("word") || !region.contains("bbox")) return false;
    const json &word = region["word"], &box = region["bbox"];
    if (!word.is_number_unsigned() || !box.is_array() || box.size() != 4) return false;
    std::array<std::int64_t, 4> sides{};
    for (std::size_t i = 0; i < 4; ++i) {
      if (!box[i].is_number_unsigned() || box[i].get<std::uint64_t>() > kMostPixels) return false;
      sides[i] = box[i].get<std::int64_t>();
    }
    if (word.get<std::uint64_t>() > kMostPixels) return false;
    out.push_back({word.get<std::int64_t>(), {sides[0], sides[1], sides[2], sides[3]}});
  }
  return true;
}

}  // namespace

CaptionTable read_coco(std::string_view bytes, const std::string& name) {
  const json root = parse_json(bytes, name);
  const auto files = files_by_id(list_of(root, "images", name), name);
  const json& annotations = list_of(root, "annotations", name);
  CaptionTable out;
  out.name = name;
  for (std::size_t i = 0; i < annotations.size(); ++i) {
    const json& annotation = annotations[i];
    CaptionRow row;
    row.line = static_cast<std::int64_t>(i) + 1;
    row.caption.text = text_of(annotation, "caption");
    const std::string id = id_of(annotation, "image_id");
    const auto file = files.find(id);
    const auto bad = [&](const std::string& reason) {
      out.bad_lines.push_back({name, row.line, reason});
    };
    if (file == files.end()) {
      bad(id.empty() ? "no image_id" : "no image has the id " + id.substr(0, 60));
    } else if (!read_regions(annotation, row.caption.regions)) {
      bad("regions are not [{\"word\": 1, \"bbox\": [left, top, width, height]}, …] in whole "
          "numbers");
    } else {
      row.image = file->second;
      add_caption(out, std::move(row));
    }
  }
  return out;
}

std::string coco_json(const CaptionSet& set,
                      const std::vector<std::pair<std::int64_t, std::int64_t>>& sizes) {
  nlohmann::ordered_json root;
  root["images"] = json::array();
  root["annotations"] = json::array();
  for (std::size_t i = 0; i < set.images.size(); ++i) {
    const CaptionedImage& image = set.images[i];
    root["images"].push_back({{"id", i + 1},
                              {"file_name", image.name},
                              {"width", sizes[i].second},
                              {"height", sizes[i].first}});
    for (const Caption& caption : image.captions) {
      nlohmann::ordered_json row = {
          {"id", root["annotations"].size() + 1}, {"image_id", i + 1}, {"caption", caption.text}};
      for (const auto& [word, box] : caption.regions)
        row["regions"].push_back(
            {{"word", word}, {"bbox", {box.left, box.top, box.width, box.height}}});
      root["annotations"].push_back(std::move(row));
    }
  }
  return root.dump() + "\n";
}

}  // namespace attend::data
