"""What a vendor's package does: torch knows the device type ``sim`` once this is imported.

``ARCHBENCH_SIM`` names the library.
"""

from __future__ import annotations

import importlib.util
import os
import types
from typing import Any

import torch
from torch.utils import backend_registration

_spec = importlib.util.spec_from_file_location("archbench_sim", os.environ["ARCHBENCH_SIM"])
assert _spec is not None
assert _spec.loader is not None
library: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(library)


def _index(device: Any = None) -> int:
    if isinstance(device, int):
        return device
    index = None if device is None else torch.device(device).index
    return int(library.current_device() if index is None else index)


module: Any = types.ModuleType("torch.sim")
module.is_available = lambda: library.device_count() > 0
module.is_initialized = module.is_available
module._lazy_init = lambda: None
module._is_in_bad_fork = lambda: False
module.manual_seed_all = lambda seed: None
module.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
module.device_count = library.device_count
module.current_device = library.current_device
module.set_device = lambda device: library.set_device(_index(device))
module.get_device_name = lambda device=None: os.environ.get("SIM_NAME", "Simulator 8000")
module.get_device_properties = lambda device: types.SimpleNamespace(
    uuid=f"{os.environ.get('SIM_UUID', 'sim')}-{_index(device)}"
)
module.synchronize = lambda device=None: library.synchronize(_index(device))
module.empty_cache = lambda: None
module.memory_allocated = lambda device=None: library.allocated(_index(device))
module.max_memory_allocated = lambda device=None: library.peak(_index(device))
module.max_memory_reserved = module.max_memory_allocated
module.reset_peak_memory_stats = lambda device=None: library.reset_peak(_index(device))
module.mem_get_info = lambda device=None: library.memory(_index(device))
module._sleep = library.sleep

backend_registration.rename_privateuse1_backend("sim")
torch._register_device_module("sim", module)
backend_registration.generate_methods_for_privateuse1_backend(for_storage=True)
