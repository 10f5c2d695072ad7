"""Networks of one layer for runs that are about something else."""

from __future__ import annotations

ONE = """
    import torch
    from torch import nn

    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 10)

        def forward(self, x):
            return self.fc(x.mean((2, 3)))

"""
BAD = """
    class Bad(One):
        def forward(self, x):
            raise ValueError("it is bad")

"""


def networks(*names: str) -> str:
    """The text of a file that defines these, all alike but for one that is called Bad and fails."""
    defined = {"One": "", "Bad": BAD}
    return ONE + "".join(defined.get(name, f"    class {name}(One): pass\n") for name in names)
