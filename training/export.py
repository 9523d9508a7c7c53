"""Write a trained student as the file of weights that ships with featuremill.

    python training/export.py --run RUN --out src/featuremill/models/embedded.safetensors

Batch normalisation is folded in and every kernel rounded to bf16, so that bf16 and fp32 compute
with the same kernels; biases stay finer. Both are stored as fp16, which holds them.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from featuremill.models.correction import to_bf16
from student import Student, folded


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of distil.py's checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    options = parser.parse_args()
    state = torch.load(options.run / "checkpoint.pt", map_location="cpu", weights_only=True)
    student = Student()
    student.load_state_dict(state["average"])
    arrays = {
        name: (to_bf16(array) if name.endswith("/kernel") else array).astype(np.float16)
        for name, array in folded(student).items()
    }
    lost = max(float(np.abs(array).max()) for array in arrays.values())
    if not np.isfinite(lost):
        raise SystemExit("a weight does not fit into fp16")
    save_file(arrays, options.out)
    digest = hashlib.sha256(options.out.read_bytes()).hexdigest()
    print(f"{options.out}: step {state['step']:,}, {options.out.stat().st_size:,} bytes, {digest}")


if __name__ == "__main__":
    main()
