"""The model card of an adapter."""

from __future__ import annotations

from typing import Any

import qnnw._core as _core

_CARD = """---
library_name: qnnw
tags:
- adapter
- quantum-train
---

# An adapter of {trained:,d} trained numbers

It changes {made:,d} weights of a network of {total:,d} ({count} parameters, {first} and on):
w = w0 + t(numbers) - t(numbers at the start), where t are {source}.

| | |
| --- | --- |
| network | {network}, fingerprint of the changed weights {digest} |
| written by | qnnw {version} |

```python
from qnnw.nn import QuantumTrain

network = ...  # with the weights that the adapter was trained on; others are refused
model = QuantumTrain.from_pretrained(network, "this folder")
plain = model.merge_and_unload()  # without qnnw
```
"""


def card(model: Any, digest: str) -> str:
    """What a reader of an adapter's folder needs to know."""
    return _CARD.format(
        trained=model.num_trainable_parameters,
        made=model.source.num_weights,
        total=model.num_all_parameters,
        count=len(model.targets),
        first=model.targets[0].name,
        source=repr(model.source).removeprefix("changes of "),
        network=type(model.module).__name__,
        digest=digest[:16],
        version=_core.build_info()["version"],
    )
