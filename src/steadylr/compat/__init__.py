"""torch-lr-finder's interface over our range test: `from steadylr.compat import LRFinder` is all that changes.

The same arguments give the same LRs and losses, bit for bit, where torch-lr-finder is right; docs/migrating.md says
where it isn't. Its module `lr_finder` stands here as well, for those who import from there.
"""

from steadylr.compat.loader_iters import TrainDataLoaderIter, ValDataLoaderIter
from steadylr.compat.lr_finder import LRFinder

__all__ = ["LRFinder", "TrainDataLoaderIter", "ValDataLoaderIter"]
