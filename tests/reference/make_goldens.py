"""Makes every golden file under `goldens/` anew: `python make_goldens.py`, a minute on a CPU, no network.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_goldens.py

Only needed when a case is added or a library's version raised; the tests read the committed files.
"""

import torch

import attention
import autoencoders
import densenet
import edits
import gradients
import loras
import metrics
import originals
import pictures
import pipelines
import radiographs
import readers
import rulers
import schedulers
import text_encoders
import tokenizers_
import unets


def main():
    # One thread, so that sums are added in the same order on every machine.
    torch.set_num_threads(1)
    parts = (schedulers, tokenizers_, text_encoders, unets, autoencoders, pipelines, originals, loras, attention, edits, gradients, metrics, rulers, densenet, readers, radiographs, pictures)
    for part in parts:
        print(part.__name__)
        part.make()


if __name__ == "__main__":
    main()
