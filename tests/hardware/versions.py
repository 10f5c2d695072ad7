"""What a report from a machine has to begin with."""

import platform

import torch

print(platform.python_version(), torch.__version__, torch.version.cuda)
for index in range(torch.cuda.device_count()):
    print(torch.cuda.get_device_properties(index))
