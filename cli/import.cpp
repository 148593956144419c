// attend import FILE: networks that other programs trained, in the form that recipes read.
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/interop/image_network.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

struct ImportOptions {
  std::string file, out;
};

/// "weights/mbnet128_0.25.h5" → "mbnet128_0.25"
std::string stem_of(const std::string& file) {
  const std::string name = file.substr(file.rfind('/') + 1);
  const auto dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0)
    fail_usage("'" + file + "' has no ending to leave out for the folder's name: give --out DIR");
  return name.substr(0, dot);
}

int import(Output& out, const ImportOptions& o) {
  const std::string folder = o.out.empty() ? stem_of(o.file) : o.out;
  const interop::ImageNetwork network = interop::read_image_network(o.file);
  interop::save_image_network(network, folder);
  std::int64_t parameters = 0;
  for (const auto& [name, tensor] : network.weights) parameters += tensor.numel();
  if (out.json())
    out.document({{"file", o.file},
                  {"network", network.title()},
                  {"folder", folder},
                  {"parameters", parameters}});
  else
    out.line(network.title() + ", " + grouped(parameters) + " parameters: " + folder +
             " (a captioner takes it by --set model.encoder.pretrained=" + folder + ")");
  return 0;
}

}  // namespace

void add_import(Program& program) {
  const auto o = std::make_shared<ImportOptions>();
  const Verb verb = program.verb("import", "Read a network that another program trained");
  verb.positional("FILE", Kind::kFile, o->file, Need::kRequired,
                  "MobileNet v1 in Keras' HDF5, or compressed SqueezeNet 1.0; the bytes say which");
  verb.text("-o,--out", Kind::kFolder, o->out,
            "folder for config.json and model.safetensors (default: the file's name without its "
            "ending)");
  verb.example("attend import mobilenet_2_5_128_tf.h5 --out encoders/mobilenet");
  verb.run([o](Output& out) { return import(out, *o); });
}

}  // namespace attend::cli
