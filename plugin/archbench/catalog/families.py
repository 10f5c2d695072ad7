"""To which family of networks an architecture belongs: it gives a point of a chart its colour."""

from __future__ import annotations

import re
from functools import cache

from archbench.core.spec import LIBRARIES

OTHER = "Other"
"""The family of what no rule knows."""

_RULES: tuple[tuple[str, str], ...] = (
    # What mixes two families comes before either.
    ("ConvNeXt", r"convnext|convmixer|cspnext"),
    ("MLP", r"mixer|resmlp|gmlp|sequencer"),
    ("MobileViT", r"mobilevit"),
    ("EfficientViT", r"efficientvi[tm]|shvit|cpubone|lowformer|repvit|tinyvit|hieradet"),
    ("Hybrid ViT", r"coat|convit|cvt|levit|nextvit|^cmt|visformer|mobileformer|iformer|edgenext"),
    ("MaxViT", r"max{1,2}vit"),
    ("MetaFormer", r"poolformer|caformer|convformer|metaformer|efficientformer|swiftformer"),
    ("EVA", r"^eva|beit|^vitamin"),
    ("PVT", r"^pvt|pcpvt|^twins|^alt(gvt|_gvt)|^nest"),
    ("MViT", r"^mvit|hiera"),
    ("XCiT", r"xcit|^cait|^volo|^davit|^gcvit|crossvit|^pit|^tnt|focalnet"),
    ("Swin", r"swin"),
    ("DeiT", r"deit"),
    ("FastViT", r"fastvit|mobileone|mambaout|mobileclip"),
    ("ViT", r"vit|^aimv|^qwen|^gemma|^deepseek|^sam"),
    ("EfficientNet", r"efficientnet"),
    ("MixNet", r"mixnet|tinynet"),
    ("MNASNet", r"mnas|^fbnet|proxyless|hardcorenas|spnas|^singlepath"),
    ("NASNet", r"nasnet|^darts"),
    ("MobileNet", r"mobile?net|mobnet|fdmobile|^lcnet|pplcnet|^esnet|rexnet|^igcv"),
    ("ShuffleNet", r"shuffle|^\d*menet|dicenet|channelnet|espnet"),
    ("GhostNet", r"ghost"),
    ("SqueezeNet", r"squeeze|sqnxt"),
    ("MSDNet", r"^msd"),
    ("HarDNet", r"hardnet"),
    ("RegNet", r"regnet"),
    ("RepVGG", r"repvgg"),
    ("NFNet", r"nfnet|^nf(eca)?(res|reg)net|^nfeca|^nfse|^dmnf"),
    ("DarkNet", r"darknet|^csp|^csp?resn"),
    ("Res2Net", r"res2ne"),
    ("ResNeSt", r"resnest|^sknet|^skres"),
    ("DenseNet", r"densenet|^dnbc|condense|sparsenet|rdnet|peleenet"),
    # Attention over channels makes it a SENet whatever it is built on, as Bianco et al. colour it.
    ("SENet", r"se(pre)?resne|senet|^(eca|gc|cbam|bam)|ecares|^se[a-z]*bot|^fastse"),
    ("HRNet", r"hrnet"),
    ("VoVNet", r"vovnet|selecsls|hgnet"),
    ("DLA", r"^dla"),
    ("DPN", r"^dpn|dualpath"),
    ("Xception", r"xception"),
    ("Inception", r"inception|googlenet|polynet"),
    ("VGG", r"^(bn)?vgg"),
    ("AlexNet", r"alexnet|^zfnet"),
    ("NIN", r"^(bn)?nin"),
    ("ENet", r"^enet"),
    ("ResNeXt", r"resnext|airnext"),
    (
        "ResNet",
        r"resne|rednet|^scnet|resattnet|wrn|wideres|^drn[cd]|revnet|diracnet|bagnet|fishnet",
    ),
    ("ResNet", r"pyramidnet|airnet"),
)
"""Family, and what members' names look like in small letters and digits; the first rule counts."""

FAMILIES = (*sorted({name for name, _ in _RULES}), OTHER)
"""Every family, in the order in which colours are given."""


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(pattern, re.ASCII)) for name, pattern in _RULES)


@cache
def family_of(id: str) -> str:
    """The family of an architecture, by its name.

    Args:
        id: ``timm/seresnet50``, ``local/my_net``, or a publication's name of it:
            ``SE-ResNet-50``.

    Returns:
        One of :data:`FAMILIES`.
    """
    library, slash, rest = id.partition("/")
    # A publication's own name may have a slash in it.
    name = (rest if slash and library in (*LIBRARIES, "published") else id).lower()
    name = re.sub(r"^(tf|legacy|test|ese|ig|naflex)[_-]", "", name)
    name = re.sub(r"[^a-z0-9]", "", name.partition("@")[0])
    return next((family for family, pattern in _patterns() if pattern.search(name)), OTHER)
