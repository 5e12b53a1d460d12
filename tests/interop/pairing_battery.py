"""Real and made networks, folded without a graph: how many pairs are right, and that none is wrong.

    pairing_battery.py CKPT [--only WORD] [--made | --sample] [--module] [--verbose]

Each network gets random parameters and statistics as training leaves them, is saved as .pt and .safetensors,
folded as it is, with --pair-by-order and with --pair-by-name, and loaded back with what was folded replaced by
nothing. An output further off than 1e-5 of the largest one is wrong. Needs timm and torchvision
(testdata/generators/requirements-battery.txt); torchvision's own operators are not needed, and stubbed.
.ci/battery runs it.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import pairing_harness as harness  # noqa: E402
import pairing_nets  # noqa: E402

EPSILON = 0.002
OPTIONS = ("", "--pair-by-order", "--pair-by-name")
# As it should be; with batch norms behind sums of branches; with batch norms before their convolutions.
SAMPLE = ("torchvision/resnet18", "timm/repvit_m0_9", "timm/resnetv2_18")
TORCHVISION = """resnet18 resnet50 resnext50_32x4d mobilenet_v2 mobilenet_v3_small mobilenet_v3_large
    efficientnet_b0 efficientnet_v2_s mnasnet0_5 mnasnet1_0 shufflenet_v2_x0_5 shufflenet_v2_x1_0 googlenet inception_v3
    densenet121 regnet_x_400mf regnet_y_400mf regnet_y_800mf vgg11_bn deeplabv3_mobilenet_v3_large
    lraspp_mobilenet_v3_large mc3_18""".split()
TIMM = """resnet10t resnet18d resnet26t seresnet18 skresnet18 resnest14d ecaresnet26t res2net50_14w_8s resnetv2_18
    efficientnet_lite0 efficientnet_es tf_efficientnet_b0 tf_efficientnetv2_b0 mobilenetv1_100 mobilenetv2_050
    mobilenetv3_small_050 tf_mobilenetv3_small_minimal_100 tf_mobilenetv3_large_minimal_100 mobilenetv4_conv_small
    lcnet_050 mnasnet_small spnasnet_100 semnasnet_075 fbnetc_100 fbnetv3_b mobilenet_edgetpu_100
    ghostnet_050 ghostnetv2_100 ghostnetv3_050 regnetx_002 regnety_002 regnetz_005 repvgg_a0 mobileone_s0
    repvit_m0_9 repghostnet_050 hardcorenas_a tinynet_e rexnet_100 mixnet_s hrnet_w18_small dla34 dla46_c dla46x_c
    densenet121 cspresnet50 cspdarknet53 darknet17 ese_vovnet19b_slim_dw ese_vovnet19b_dw selecsls42 dpn48b
    dpn68 xception legacy_xception xception41 gernet_s levit_128s levit_conv_128s efficientformer_l1
    efficientformerv2_s0 efficientvit_b0 efficientvit_m0 mobilevit_xxs mobilevitv2_050 convmixer_768_32 lambda_resnet26t
    botnet26t_256 visformer_tiny starnet_s1 swiftformer_xs fasternet_t0 shvit_s1 fastvit_t8
    nextvit_small tresnet_m vgg11_bn test_resnet test_efficientnet test_byobnet
    gcresnet33ts resnet32ts eca_resnet33ts inception_next_atto hgnet_tiny
    hgnetv2_b0 tf_mixnet_s legacy_seresnet18 legacy_seresnext26_32x4d bat_resnext26ts""".split()


def torchvision():
    """torchvision's Python part; the names of its own operators are declared so that it can be imported."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision as package

    package.library_of_stubs = library
    return package


def build_torchvision(package, name):
    from torchvision import models

    options = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options |= {"init_weights": False, "aux_logits": False}
    if name.startswith(("deeplab", "lraspp", "fcn")):
        options |= {"weights_backbone": None}
        return getattr(models.segmentation, name)(**options), (4, 3, 96, 96)
    if name in ("mc3_18", "r3d_18", "r2plus1d_18"):
        return getattr(models.video, name)(**options), (4, 3, 4, 32, 32)
    net = getattr(models, name)(**options)
    if name.startswith("vgg"):
        net.classifier = torch.nn.Linear(512 * 49, 10)
    return net, (4, 3, 96, 96)


def build_timm(name):
    import timm

    net = timm.create_model(name, pretrained=False, num_classes=10)
    for size in (64, 96, 128):
        try:
            with torch.no_grad():
                net.eval()(torch.zeros(1, 3, size, size))
                net.train()(torch.zeros(4, 3, size, size))
            return net, (4, 3, size, size)
        except Exception:  # noqa: BLE001  (a net of fixed input size)
            continue
    return net, (4, *net.default_cfg["input_size"])


def networks(arguments):
    for name, build in {} if arguments.sample else pairing_nets.NETS.items():
        yield "made/" + name, lambda build=build: (build(), (8, 3, 16, 16))
    if arguments.made:
        return
    package = torchvision()
    for name in TORCHVISION:
        yield "torchvision/" + name, lambda name=name: build_torchvision(package, name)
    for name in TIMM:
        yield "timm/" + name, lambda name=name: build_timm(name)


class Tally:
    def __init__(self):
        self.wrong, self.networks, self.shares = [], set(), {}

    def add(self, name, way, folded, foldable, norms, error):
        self.networks.add(name)
        kind = name.split("/")[0]
        share = self.shares.setdefault((kind, way), [0, 0, 0])
        for i, count in enumerate((folded, foldable, norms)):
            share[i] += count
        if not error < 1e-5:
            self.wrong.append(f"{name} {way}: {error:.2g}")

    def print(self):
        for (kind, way), (folded, foldable, norms) in sorted(self.shares.items()):
            print(f"{kind:12} {way:32} {folded:5} folded of {foldable} behind a layer, {norms} batch norms")
        print(f"{len(self.networks)} networks, {len(self.wrong)} wrong")
        for line in self.wrong:
            print("WRONG", line)


def check(arguments, name, build, tally, folder):
    torch.manual_seed(len(name))
    net, shape = build()
    net, x = net.double(), torch.randn(shape, dtype=torch.float64)
    if not harness.norms_of(net):
        print(name, "has no batch norm")
        return
    harness.randomise(net, x, EPSILON, 7)
    x = x[:2]
    behind = harness.norms_behind_kernels(net, x)
    for suffix in (".pt", ".safetensors", "-module.pt"):
        source, target = folder / ("in" + suffix), folder / ("out" + suffix.removeprefix("-module"))
        if suffix == "-module.pt":
            if not arguments.module:
                continue
            try:
                torch.save(net, source)
            except Exception:  # noqa: BLE001  (local classes)
                continue
        else:
            harness.save(net, source)
        for option in OPTIONS:
            start = time.time()
            way = f"{suffix} {option}".strip()
            try:
                record = harness.convert(arguments.ckpt, source, target, *option.split(), "--epsilon", EPSILON)
                error = harness.error(net, record, target, x) if record["folded"] else 0.0
            except (AssertionError, RuntimeError) as failure:
                print(f"FAILED {name} {way}: {str(failure)[:300]}")
                tally.wrong.append(f"{name} {way}: {str(failure)[:100]}")
                continue
            tally.add(name, way, len(record["folded"]), len(behind), len(harness.norms_of(net)), error)
            print(f"{name:44} {way:28} {len(record['folded']):4}/{len(behind):<4} {error:8.1e} {time.time() - start:.1f} s",
                  flush=True)  # fmt: skip
            for entry in record["folded"]:
                kernel = entry["into"][0].rpartition(".")[0]
                if behind.get(entry["batch_norm"]) != kernel:
                    print(f"    {entry['batch_norm']} <- {kernel}, really {behind.get(entry['batch_norm'])}")
            if arguments.verbose:
                for entry in record["kept"]:
                    if entry["batch_norm"] in behind:
                        print(f"    kept {entry['batch_norm']} ({behind[entry['batch_norm']]}): {entry['reason']}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ckpt")
    parser.add_argument("--only", default="")
    parser.add_argument("--made", action="store_true", help="the made networks alone")
    parser.add_argument("--sample", action="store_true", help="three real networks: " + ", ".join(SAMPLE))
    parser.add_argument("--module", action="store_true", help="the pickled module, too")
    parser.add_argument("-v", "--verbose", action="store_true", help="the reason of each one that could be folded")
    arguments = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for name, build in networks(arguments):
            if arguments.only not in name or (arguments.sample and name not in SAMPLE):
                continue
            try:
                check(arguments, name, build, tally, pathlib.Path(folder))
            except Exception as failure:  # noqa: BLE001  (one network must not end the run)
                print(f"SKIPPED {name}: {type(failure).__name__}: {str(failure)[:200]}")
    tally.print()
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
