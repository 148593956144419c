#include "data/catalogue_name.h"

namespace attend::data {
namespace {

CatalogueSet shapes() {
  return {
      "shapes",     "Images of one to three coloured shapes with captions, each word's place known",
      "captioning", "CC0 1.0",
      "",           "generated",
      {},           {},
      true,         true};
}

CatalogueSet coco_mini() {
  return {"coco-mini",
          "159 photographs of COCO 2017 with five captions each",
          "captioning",
          "captions CC BY 4.0; images under the Creative Commons licences in image_licences.tsv, "
          "most of them NC or ND",
          "T.-Y. Lin, M. Maire, S. Belongie, J. Hays, P. Perona, D. Ramanan, P. Dollár and C.L. "
          "Zitnick. Microsoft COCO: Common Objects in Context. ECCV 2014.",
          "https://github.com/Obmutescence/COCO-MINI at 644f29e7c1d2eefd9c4412d39bc5b0ee6fd0afd4; "
          "to be put under ATTEND_DATA by hand",
          {},
          {{"annotations/captions_train2017.json",
            "42be98d9f3f07f9961ad33119b80b6582bbfd9bd0e13ed7485910342babf26a5"},
           {"annotations/captions_val2017.json",
            "1e7ca2a0d0ebe94d60ada0747bf9ba0accac281785dfdba771b2d47b0b11e135"}},
          false,
          false};
}

CatalogueSet imagenet_cnn() {
  return {
      "imagenet-cnn",
      "Small networks that ImageNet trained: MobileNet v1 with a quarter of its channels, "
      "SqueezeNet 1.0",
      "image-encoder",
      "MobileNet Apache 2.0, SqueezeNet BSD",
      "A.G. Howard et al. MobileNets: Efficient Convolutional Neural Networks for Mobile Vision "
      "Applications. arXiv:1704.04861, 2017. F.N. Iandola et al. SqueezeNet: AlexNet-level "
      "accuracy with 50x fewer parameters and <0.5MB model size. arXiv:1602.07360, 2016.",
      "https://github.com/sipeed/TinyMaix, tools/h5 at "
      "0532eceb92097dc97fb39b1d01a41f6736eb51bb, and "
      "https://github.com/songhan/SqueezeNet-Deep-Compression at "
      "fb13faa2cf121ced9999f8a9d538ec6c56084733; to be put under ATTEND_DATA by hand",
      {"imagenet-cnn:mobilenet", "imagenet-cnn:squeezenet"},
      {{"mbnet128_0.25.h5", "4463e6dce7bfd85360d2aa6ac5467fbdde1d77362807348269e75397a53eaa4a"},
       {"compressed_SqueezeNet.net",
        "e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261"}},
      false,
      false};
}

CatalogueSet mnist() {
  return {"mnist",
          "70,000 handwritten digits of 28 × 28 pixels, 10,000 of them held out",
          "generation",
          "commonly given as CC BY-SA 3.0",
          "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner. Gradient-Based Learning Applied to "
          "Document Recognition. Proceedings of the IEEE, 1998.",
          "the canonical files through gzip -9; to be put under ATTEND_DATA by hand",
          {},
          {{"train-images-idx3-ubyte.gz",
            "71524e2cd1ad2968737f7f2f2ff69cbfc32df8ccddff51593f7cb2d4e0eb5b64"},
           {"train-labels-idx1-ubyte.gz",
            "fe03b8bd7915f70bf5aa08be480aa413fbd85afcaa58b35d230d335f284fd88e"},
           {"t10k-images-idx3-ubyte.gz",
            "5634745efa576a17e7d4cf5cd9d09123c75e6538e5114267c2d156edaf519341"},
           {"t10k-labels-idx1-ubyte.gz",
            "ae18e77e031ccde52407f794d123116439864147d33ac992975f85dd4dc42af6"}},
          false,
          false};
}

CatalogueSet fashion_mnist() {
  return {"fashion-mnist",
          "70,000 pictures of clothes of 28 × 28 pixels, 10,000 of them held out",
          "generation",
          "MIT",
          "H. Xiao, K. Rasul and R. Vollgraf. Fashion-MNIST: a Novel Image Dataset for "
          "Benchmarking Machine Learning Algorithms. arXiv:1708.07747, 2017.",
          "Debian package dataset-fashion-mnist: apt-get install dataset-fashion-mnist",
          {},
          {{"train-images-idx3-ubyte.gz",
            "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"},
           {"train-labels-idx1-ubyte.gz",
            "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"},
           {"t10k-images-idx3-ubyte.gz",
            "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"},
           {"t10k-labels-idx1-ubyte.gz",
            "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"}},
          false,
          false};
}

CatalogueSet cluttered_mnist() {
  return {"cluttered-mnist",
          "Two digits of mnist at random places of a large image, among pieces of others, the "
          "places known",
          "generation",
          "that of mnist",
          "K. Gregor, I. Danihelka, A. Graves, D.J. Rezende and D. Wierstra. DRAW: A Recurrent "
          "Neural Network For Image Generation. ICML 2015. V. Mnih, N. Heess, A. Graves and K. "
          "Kavukcuoglu. Recurrent Models of Visual Attention. NIPS 2014.",
          "generated from mnist",
          {"cluttered-mnist:fashion-mnist"},
          {},
          true,
          true,
          "mnist"};
}

}  // namespace

std::vector<CatalogueSet> image_sets() {
  return {shapes(), coco_mini(), imagenet_cnn(), mnist(), fashion_mnist(), cluttered_mnist()};
}

}  // namespace attend::data
