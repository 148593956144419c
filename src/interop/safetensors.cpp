#include "attend/interop/safetensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <bit>
#include <set>

#include "attend/base/error.h"
#include "interop/byte_source.h"
#include "interop/safetensors_layout.h"

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

namespace attend::interop {
namespace {

/// By Dtype.
constexpr std::array<at::ScalarType, kDtypes> kTypes{
    at::kLong, at::kDouble, at::kFloat, at::kInt,  at::kBFloat16,
    at::kHalf, at::kShort,  at::kChar,  at::kByte, at::kBool};

at::Tensor load(const TensorEntry& e, Dtype dtype, const ByteSource& source, std::uint64_t data,
                const std::string& where) {
  const std::vector<std::int64_t> shape(e.shape.begin(), e.shape.end());
  at::Tensor x;
  try {
    x = at::empty(shape, at::TensorOptions().dtype(kTypes[static_cast<std::size_t>(dtype)]));
  } catch (const c10::Error&) {
    throw Error(ErrorKind::kFailure, where + "not enough memory for " +
                                         std::to_string(e.offsets[1] - e.offsets[0]) + " bytes");
  }
  const std::uint64_t bytes = e.offsets[1] - e.offsets[0];
  source.read(data + e.offsets[0], bytes, x.data_ptr());
  if (dtype == Dtype::kBool) {
    const auto* p = static_cast<const unsigned char*>(x.data_ptr());
    if (std::any_of(p, p + bytes, [](unsigned char c) { return c > 1; }))
      fail_input(where + "a BOOL byte is neither 0 nor 1");
  }
  return x;
}

SafetensorsFile read(const ByteSource& source, const std::string& name) {
  const std::string where = name + ": ";
  SafetensorsLayout layout = read_layout(source, where);
  SafetensorsFile file;
  file.metadata = std::move(layout.header.metadata);
  for (std::size_t i = 0; i < layout.header.entries.size(); ++i) {
    const TensorEntry& e = layout.header.entries[i];
    file.tensors.emplace_back(e.name, load(e, layout.dtypes[i], source, layout.data_offset,
                                           where + "tensor \"" + shown(e.name) + "\": "));
  }
  return file;
}

struct Item {
  const std::string* name;
  at::Tensor tensor;
  std::size_t rank;  // its Dtype
};

std::vector<Item> in_file_order(const SafetensorsFile& file) {
  std::vector<Item> items;
  std::set<std::string> names{"__metadata__"};
  for (const auto& [name, tensor] : file.tensors) {
    const std::string of = "safetensors: tensor \"" + shown(name) + "\" ";
    if (!names.insert(name).second) fail_usage(of + "has a name that is taken");
    if (!tensor.defined()) fail_usage(of + "is undefined");
    const auto* d = std::find(kTypes.begin(), kTypes.end(), tensor.scalar_type());
    if (d == kTypes.end())
      fail_usage(of + "has dtype " + c10::toString(tensor.scalar_type()) +
                 "; expected F64 F32 F16 BF16 I64 I32 I16 I8 U8 or BOOL");
    items.push_back(
        {&name, tensor.detach().cpu().contiguous(), static_cast<std::size_t>(d - kTypes.begin())});
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.rank != b.rank ? a.rank < b.rank : *a.name < *b.name;
  });
  return items;
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) { return read(ByteSource(path), path); }

SafetensorsFile parse_safetensors(std::string_view bytes, const std::string& name) {
  return read(ByteSource(bytes), name);
}

std::string safetensors_bytes(const SafetensorsFile& file) {
  const std::vector<Item> items = in_file_order(file);
  std::map<std::string, std::string> metadata = file.metadata;
  metadata.emplace("format", "pt");
  std::string json = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata)
    json += (json.back() == '{' ? "" : ",") + json_string(key) + ":" + json_string(value);
  json += "}";
  std::uint64_t data = 0;
  for (const Item& item : items) {
    json += "," + json_string(*item.name) + ":{\"dtype\":\"" +
            name_of(static_cast<Dtype>(item.rank)) + "\",\"shape\":[";
    for (const std::int64_t n : item.tensor.sizes())
      json += (json.back() == '[' ? "" : ",") + std::to_string(n);
    json += "],\"data_offsets\":[" + std::to_string(data) + ",";
    data += item.tensor.nbytes();
    json += std::to_string(data) + "]}";
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kMaxHeader) fail_usage("safetensors: names and shapes exceed 100000000 bytes");
  const std::uint64_t n = json.size();
  std::string bytes(reinterpret_cast<const char*>(&n), 8);
  bytes.reserve(8 + n + data);
  bytes += json;
  for (const Item& item : items)
    bytes.append(static_cast<const char*>(item.tensor.data_ptr()), item.tensor.nbytes());
  return bytes;
}

}  // namespace attend::interop
