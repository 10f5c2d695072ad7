"""Which cells a rule is about."""

from __future__ import annotations

import pytest

from archbench.core.errors import UsageError
from archbench.core.selectors import Selector, refuse_unknown

CELL = ("timm/resnet50", "cpu-amd-epyc", "fp32")


@pytest.mark.parametrize(
    ("selector", "is_meant"),
    [
        (Selector(), True),
        (Selector(architecture="timm/resnet50"), True),
        (Selector(architecture="timm/resnet*"), True),
        (Selector(architecture="timm/resnet"), False),
        (Selector(architecture="torchvision/*"), False),
        (Selector(architecture="resnet*"), True),  # without a slash: of any library
        (Selector(architecture="timm*"), False),
        (Selector(architecture="*/resnet[0-9]0"), True),
        (Selector(architecture="*/ResNet50"), False),
        (Selector(device="cpu*"), True),
        (Selector(device="cpu"), False),
        (Selector(device="h200"), False),
        (Selector(dtype="fp*"), True),
        (Selector(dtype="bf16"), False),
        (Selector("timm/*", "cpu-*", "fp16"), False),  # all three have to match
    ],
)
def test_cells(selector: Selector, is_meant: bool) -> None:
    assert selector.matches(*CELL) is is_meant


def test_an_input_size_is_part_of_the_id() -> None:
    sized = "timm/resnet50@160"
    assert not Selector(architecture="timm/resnet50").matches(sized)
    assert Selector(architecture="timm/resnet50*").matches(sized)
    assert Selector(architecture="timm/resnet50@160").matches(sized)


def test_what_depends_on_no_device_is_selected_by_its_architecture() -> None:
    selector = Selector("timm/*", "h200", "fp16")
    assert selector.matches("timm/resnet50")
    assert selector.matches("timm/resnet50", None, "fp16")
    assert not selector.matches("timm/resnet50", None, "fp32")
    assert not selector.matches("pytorchcv/resnet50")


LIBRARIES = "timm, torchvision, pytorchcv, archbench, local"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"architecture": ""},
            "architecture = '': the glob is empty. Leave the key out to match every one",
        ),
        (
            {"architecture": "tim/resnet*"},
            "architecture = 'tim/resnet*': there is no library 'tim'. "
            f"Write 'timm'; libraries are {LIBRARIES}",
        ),
        (
            {"architecture": "keras/*"},
            f"architecture = 'keras/*': there is no library 'keras'. Libraries are {LIBRARIES}",
        ),
        (
            {"architecture": "k*/resnet50"},
            f"architecture = 'k*/resnet50': 'k*' matches no library. Libraries are {LIBRARIES}",
        ),
        (
            {"architecture": "timm/a,timm/b"},
            "architecture = 'timm/a,timm/b': no id looks like that. "
            "Write one id or one glob over ids, such as 'timm/resnet*'",
        ),
        (
            {"architecture": "timm/a[bc"},
            "architecture = 'timm/a[bc': a bracket is open. Close it, as in [ab]",
        ),
        (
            {"device": "cuda:0"},
            "device = 'cuda:0': no device is called that. "
            "Write a glob over the short names of devices, in lower case: 'cpu*', 'h200'",
        ),
        (
            {"device": "H200"},
            "device = 'H200': no device is called that. "
            "Write a glob over the short names of devices, in lower case: 'cpu*', 'h200'",
        ),
        (
            {"dtype": "float16"},
            "dtype = 'float16': there is no precision 'float16'. Precisions are fp32, tf32, fp16, "
            "bf16, amp-fp16, amp-bf16, int8",
        ),
        (
            {"dtype": "pf16"},
            "dtype = 'pf16': there is no precision 'pf16'. "
            "Write 'fp16'; precisions are fp32, tf32, fp16, bf16, amp-fp16, amp-bf16, int8",
        ),
        (
            {"dtype": "float*"},
            "dtype = 'float*': it matches no precision. Precisions are fp32, tf32, fp16, bf16, "
            "amp-fp16, amp-bf16, int8",
        ),
    ],
)
def test_a_glob_that_can_match_nothing_is_refused(keys: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Selector(**keys)
    assert str(refused.value) == message


def test_the_nearest_name_does_not_depend_on_case() -> None:
    with pytest.raises(UsageError, match=r"^x: there is no key 'PRESET'\. Write 'preset'; keys"):
        refuse_unknown("x", "PRESET", ["preset", "budget"], "key")
