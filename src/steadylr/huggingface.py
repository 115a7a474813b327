"""Models of Hugging Face's transformers in a range test: their loss comes with their answer.

    steadylr.range_test(model, optimizer, loader, None, ramp, step=steadylr.huggingface.step)

Works for any model that is called with the entries of a batch and answers with a loss; transformers itself is not
imported. docs/hugging-face.md shows a complete program.
"""

from steadylr.run.transformers_model import step

__all__ = ["step"]
