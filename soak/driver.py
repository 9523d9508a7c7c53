"""``python -m soak.driver IMAGES run SRC DEST …``: the command line, with chunks of so many images.

A chunk is minutes of work otherwise: a small one makes a short run commit often.
"""

import sys

import featuremill.workflows.run.chunks
from featuremill.cli import main

if __name__ == "__main__":
    featuremill.workflows.run.chunks.LARGEST = int(sys.argv.pop(1))
    main(prog_name="featuremill")
