from __future__ import annotations

import copy
import dataclasses
import gzip
import itertools
import multiprocessing
import pickle
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from built import augmentation_of, data_of, images_of
from built import batches_of as made_of
from steadylr.run.fingerprint import DataError
from steadylr.run.held_out import validation_batches
from steadylr.run.images import Batch, FileImages, Images
from steadylr.run.randomness import GeneratorStates, Streams
from steadylr.run.training_data import TrainBatches, default_workers, training_data

DRAWING: dict[str, dict[str, Any]] = {
    "RandomResizedCrop": {"scale": [0.5, 1.0]},
    "RandomHorizontalFlip": {},
    "ColorJitter": {"brightness": 0.3, "contrast": 0.3},
}


def with_transforms(images: Images, transforms: dict[str, Any]) -> Images:
    """The same images, changed one by one."""
    changed = copy.copy(images)
    changed.augmentation = augmentation_of(transforms, image_size=images.image_size)
    return changed


def batches_of(data: Images, *, augmented: bool = False, **changes: Any) -> TrainBatches:
    return made_of(with_transforms(data, DRAWING) if augmented else data, **changes)


def take(batches: TrainBatches, count: int) -> list[Batch]:
    iterator: Any = iter(batches)
    with closing(iterator):
        return list(itertools.islice(iterator, count))


def same(one: list[Batch], two: list[Batch]) -> bool:
    return len(one) == len(two) and all(
        torch.equal(a, b) for pair in zip(one, two, strict=True) for a, b in zip(*pair, strict=True)
    )


def names(batches: list[Batch]) -> list[int]:
    """Which images of small_data came, read off their first pixel."""
    return [round((x * 0.25 + 0.5).item() * 255) for inputs, _ in batches for x in inputs[:, 0, 0, 0]]


def test_the_embedded_data_is_what_it_is_said_to_be() -> None:
    """5,000 and 1,000 grey images of 28 x 28 in ten classes, all of which occur."""
    data = data_of("fashion_mnist_mini")
    assert (len(data.train), len(data.validation)) == (5000, 1000)
    assert (len(data.train.classes), data.train.in_channels, data.train.image_size) == (10, 1, 28)
    image, target = data.train[0]
    assert (image.shape, image.dtype, target.shape) == ((1, 28, 28), torch.uint8, ())
    assert torch.bincount(data.train.source.targets).min() > 400


def test_batches_of_the_embedded_data_are_normalised() -> None:
    """With the data set's own mean and deviation the pixels have mean 0 and deviation 1, nearly."""
    inputs, targets = take(batches_of(data_of("fashion_mnist_mini").train, batch_size=1000), 1)[0]
    assert inputs.shape == (1000, 1, 28, 28)
    assert inputs.dtype == torch.float32
    assert targets.dtype == torch.int64
    assert inputs.mean().item() == pytest.approx(0, abs=0.05)
    assert inputs.std().item() == pytest.approx(1, abs=0.05)


def test_every_image_comes_with_its_own_label(small_data: Images) -> None:
    """Over one epoch each image comes once, with its target."""
    batches = take(batches_of(small_data), 4)
    labels = torch.cat([targets for _, targets in batches]).tolist()
    came = names(batches)
    assert sorted(came) == list(range(50))
    assert labels == [name % 3 for name in came]


def test_given_statistics_are_used(small_data: Images) -> None:
    """A pixel p becomes (p / 255 - mean) / std."""
    stored: Any = small_data.source
    data = images_of(stored.pixels, stored.targets, mean=(0.1,), std=(0.2,))
    inputs, _ = take(batches_of(data, batch_size=50), 1)[0]
    wanted = (small_data[7][0].float() / 255 - 0.1) / 0.2  # one batch of all: nothing is shuffled
    assert torch.allclose(inputs[7], wanted, atol=1e-6)


def test_one_number_stands_for_all_channels() -> None:
    """mean=[0.5] on one channel; two numbers on one channel are refused."""
    assert data_of("fashion_mnist_mini", mean=[0.5], std=[0.5]).train.mean.flatten().tolist() == [0.5]
    with pytest.raises(DataError, match=r"data\.mean must be one finite number, or 1"):
        data_of("fashion_mnist_mini", mean=[0.5, 0.5])
    with pytest.raises(DataError, match=r"data\.std must be above 0"):
        data_of("fashion_mnist_mini", std=[0.0])


@pytest.mark.slow
@pytest.mark.parametrize("augmented", [False, True])
def test_batches_are_the_same_for_any_number_of_workers(small_data: Images, augmented: bool) -> None:
    """0, 1 and 3 workers give the same bits over several epochs."""
    wanted = take(batches_of(small_data, augmented=augmented), 10)
    for workers in (1, 3):
        assert same(take(batches_of(small_data, augmented=augmented, workers=workers), 10), wanted)


@pytest.mark.slow
def test_batches_of_files_are_the_same_for_any_number_of_workers(image_tree: Path) -> None:
    """Decoding and scaling in a worker gives the bits that it gives in the training process."""
    data = data_of("imagefolder", root=str(image_tree), image_size=16).train
    for augmented in (False, True):
        wanted = take(batches_of(data, augmented=augmented, batch_size=5), 6)
        assert same(take(batches_of(data, augmented=augmented, batch_size=5, workers=2), 6), wanted)


@pytest.mark.parametrize(("augmented", "size"), [(True, 300), (False, 300), (False, 100)])
def test_threads_of_the_training_process_change_no_bits(augmented: bool, size: int) -> None:
    """Means over large images and pixels of smaller ones are summed on one thread, as they are in a data worker."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (2, 3, 300, 300), dtype=np.uint8))
    data = images_of(pixels, torch.zeros(2, dtype=torch.int64), 1, image_size=size)
    wanted = take(batches_of(data, augmented=augmented, batch_size=2), 3)
    torch.set_num_threads(2)
    assert same(take(batches_of(data, augmented=augmented, batch_size=2), 3), wanted)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("stream", ["init", "noise"])
def test_other_streams_change_no_batch(small_data: Images, stream: str) -> None:
    """Batches depend on the order and augment seeds only."""
    other = dataclasses.replace(Streams.same(0), **{stream: 1})
    wanted = take(batches_of(small_data, augmented=True), 5)
    assert same(take(batches_of(small_data, augmented=True, streams=other), 5), wanted)


def test_the_order_seed_leaves_the_augmentation_draws_untouched(small_data: Images) -> None:
    """A sample's k-th appearance looks the same in whatever batch it comes."""

    def by_draw(streams: Streams) -> dict[tuple[int, int], torch.Tensor]:
        batches = batches_of(small_data, augmented=True, streams=streams)
        seen: dict[tuple[int, int], torch.Tensor] = {}
        draws = itertools.islice(batches._sampler, 8)
        for items, (inputs, _) in zip(draws, take(batches, 8), strict=True):
            seen.update(zip(items, inputs, strict=True))
        return seen

    one, two = by_draw(Streams(0, 1, 5, 0)), by_draw(Streams(0, 2, 5, 0))
    assert list(one) != list(two)
    assert all(torch.equal(image, two[key]) for key, image in one.items())


def test_the_augment_seed_leaves_the_order_untouched(small_data: Images) -> None:
    """Other draws on the same images: same targets, other inputs."""
    one = take(batches_of(small_data, augmented=True, streams=Streams(0, 1, 1, 0)), 5)
    two = take(batches_of(small_data, augmented=True, streams=Streams(0, 1, 2, 0)), 5)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(one, two, strict=True))


def test_an_image_is_augmented_anew_each_time_it_is_drawn(small_data: Images) -> None:
    """The draw number enters: the second epoch does not repeat the first one's crops."""
    batches = take(batches_of(small_data, augmented=True, batch_size=50), 2)  # not shuffled: one batch of all
    assert not torch.equal(batches[0][0], batches[1][0])


@pytest.mark.parametrize(
    "workers", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_making_batches_draws_nothing_from_the_noise_stream(small_data: Images, workers: int) -> None:
    """Neither augmentation in the training process nor starting workers moves a global generator."""
    before = GeneratorStates.now()
    take(batches_of(small_data, augmented=True, workers=workers), 3)
    assert before.same_as(GeneratorStates.now())


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_whether_augmentation_drew_is_reported(small_data: Images, workers: int) -> None:
    """Also from a worker; an augmentation that draws nothing is unused."""
    drawing = batches_of(small_data, augmented=True, workers=workers)
    assert not drawing.augment_used
    take(drawing, 2)
    assert drawing.augment_used
    fixed = made_of(with_transforms(small_data, {"CenterCrop": {}}), workers=workers)
    take(fixed, 2)
    assert not fixed.augment_used


def test_one_batch_of_everything_uses_no_order(small_data: Images) -> None:
    """The order stream is reported as unused exactly when it changes nothing."""
    one, two = (batches_of(small_data, batch_size=50, streams=Streams(0, seed, 0, 0)) for seed in (1, 2))
    assert not one.order_used
    assert same(take(one, 2), take(two, 2))
    assert batches_of(small_data, batch_size=49).order_used


def test_a_second_pass_over_the_batches_gives_the_same_bits(small_data: Images) -> None:
    """Training twice on the same object gives the same numbers twice."""
    batches = batches_of(small_data, augmented=True)
    assert same(take(batches, 6), take(batches, 6))


def test_images_are_scaled_to_the_image_size() -> None:
    """Arrays too, with and without augmentation."""
    data = data_of("fashion_mnist_mini", image_size=16).train
    assert take(batches_of(data), 1)[0][0].shape == (16, 1, 16, 16)
    assert take(batches_of(data, augmented=True), 1)[0][0].shape == (16, 1, 16, 16)


def test_channels_last_changes_the_layout_only() -> None:
    """Same values, other strides."""
    plain, last = (
        take(batches_of(data_of("fashion_mnist_mini", image_size=8, channels_last=flag).train), 1)[0][0]
        for flag in (False, True)
    )
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_an_image_folder_is_read(image_tree: Path) -> None:
    """Classes by folder name, images of any size, in colour."""
    data = data_of("imagefolder", root=str(image_tree), image_size=16)
    assert data.train.classes == ("cat", "dog")
    assert (len(data.train), len(data.validation)) == (12, 4)
    assert data.train.source.targets.tolist() == [0] * 6 + [1] * 6
    assert data.train.source.image(0).shape == (3, 20, 30)
    assert take(batches_of(data.train, batch_size=5), 1)[0][0].shape == (5, 3, 16, 16)


def _remove_class_images(tree: Path) -> None:
    for file in (tree / "train" / "dog").iterdir():
        file.unlink()


def _spoil(relative: str, content: bytes) -> Callable[[Path], None]:
    def spoil(tree: Path) -> None:
        (tree / relative).write_bytes(content)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove_class_images, r"the class folder '.*train.dog' under data\.root holds no images"),
        (_spoil("train/cat/3.png", b""), r"train.cat.3\.png' under data\.root can't be read as an image"),
        (_spoil("val/dog/1.png", b"text"), r"val.dog.1\.png' under data\.root can't be read as an image"),
        (
            lambda tree: (tree / "val" / "cow").mkdir(),
            r"class folder '.*val.cow' under data\.root holds no images",
        ),
        (lambda tree: (tree / "val" / "dog").rename(tree / "val" / "cow"), "same class folders; .* cow, dog"),
        (lambda tree: (tree / "val").rename(tree / "valid"), r"no folder val/.*it holds train/, valid/"),
    ],
)
def test_a_damaged_tree_is_refused_before_training(
    image_tree: Path, spoil: Callable[[Path], object], message: str
) -> None:
    """The message names the file or folder and the key."""
    spoil(image_tree)
    with pytest.raises(DataError, match=message):
        data_of("imagefolder", root=str(image_tree))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_breaks_later_is_named_also_from_a_worker(image_tree: Path, workers: int) -> None:
    """The message is one line, the same with and without workers: no worker's traceback."""
    data = data_of("imagefolder", root=str(image_tree), image_size=16).train
    (image_tree / "train" / "cat" / "2.png").write_bytes(b"gone")
    with pytest.raises(DataError, match=r"train.cat.2\.png' under data\.root can't be read") as caught:
        take(batches_of(data, batch_size=12, workers=workers), 1)
    assert "\n" not in str(caught.value)


def test_an_augmentation_that_changes_the_channels_is_refused(image_tree: Path) -> None:
    """The model was built for the data's channels."""
    data = data_of("imagefolder", root=str(image_tree), image_size=16).train
    with pytest.raises(DataError, match=r"images of shape \(3, height, width\); got \(1, 16, 16\)"):
        take(made_of(with_transforms(data, {"Grayscale": {}}), batch_size=2), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "cifar10"}, r"data\.root is needed for data\._target_=.*\.cifar10"),
        ({"name": "imagefolder"}, r"data\.root is needed for data\._target_=.*\.imagefolder"),
        ({"image_size": 3}, r"data\.image_size must be at least 4; got 3"),
    ],
)
def test_data_that_cannot_be_loaded_is_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the key, what came and what is allowed."""
    with pytest.raises(ValueError, match=message):
        data_of(**{"name": "fashion_mnist_mini", **changes})


def test_absent_data_without_download_says_how_to_get_it(tmp_path: Path) -> None:
    """No network is touched unless data.download=true."""
    for name in ("cifar10", "fashion_mnist"):
        with pytest.raises(DataError, match=r"is not in data\.root=.*: set data\.download=true"):
            data_of(name, root=str(tmp_path))


def test_fashion_mnist_is_read_through_torchvision(tmp_path: Path) -> None:
    """Files in the published format, made here, arrive as images with labels."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        pixels = np.arange(count * 784, dtype=np.uint64).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + pixels.tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, count) + bytes(range(10)) * (count // 10)
        )
    data = data_of("fashion_mnist", root=str(tmp_path))
    assert (len(data.train), len(data.validation), len(data.train.classes), data.train.in_channels) == (
        20,
        10,
        10,
        1,
    )
    assert data.train[1][0].flatten()[:3].tolist() == [16, 17, 18]  # 784 = 3 * 256 + 16
    assert data.train[13][1] == 3
    (folder / "train-images-idx3-ubyte").write_bytes(gzip.compress(b"cut short"))
    with pytest.raises(DataError, match=r"fashion_mnist in data\.root=.* can't be read"):
        data_of("fashion_mnist", root=str(tmp_path))


def test_a_damaged_cifar10_is_refused(tmp_path: Path) -> None:
    """torchvision's checksums are asked; the message names root and key."""
    from steadylr.run.fingerprint import TORCHVISION_FILES

    for name in TORCHVISION_FILES["cifar10"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(pickle.dumps({}))
    with pytest.raises(DataError, match=r"cifar10 in data\.root=.* can't be read"):
        data_of("cifar10", root=str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 51, "drop_last": True}, r"data\.batch_size=51 is above the 50 training samples"),
        ({"batch_size": 0}, r"data\.batch_size must be at least 1"),
        ({"workers": -1}, r"data\.workers must be at least 0; got -1"),
    ],
)
def test_impossible_batches_are_refused(small_data: Images, changes: dict[str, Any], message: str) -> None:
    """Before the first batch is asked for."""
    with pytest.raises(ValueError, match=message):
        batches_of(small_data, **changes)


def test_images_in_memory_need_no_workers(small_data: Images, image_tree: Path) -> None:
    """For files: one less than the cores, from 1 to 8."""
    files = training_data(data_of("imagefolder", root=str(image_tree)).train, path="x")
    assert default_workers(training_data(small_data, path="x"), cores=64) == 0
    assert [default_workers(files, cores=cores) for cores in (1, 2, 4, 64)] == [1, 1, 3, 8]


def _in_a_daemon(data: Images, found: Any) -> None:
    found.put(len(take(batches_of(data, workers=1), 2)))


@pytest.mark.slow
def test_a_worker_of_a_process_pool_can_have_data_workers(small_data: Images) -> None:
    """Daemonic processes may not have children, by Python's rule; these end with their parent."""
    context: Any = multiprocessing.get_context("spawn")
    found = context.Queue()
    process = context.Process(target=_in_a_daemon, args=(small_data, found), daemon=True)
    process.start()
    assert found.get(timeout=120) == 2
    process.join(30)


@pytest.mark.slow
def test_closing_the_iterator_ends_its_workers(small_data: Images) -> None:
    """No process outlives the batches that it made."""
    iterator: Any = iter(batches_of(small_data, workers=2))
    next(iterator)
    assert len(multiprocessing.active_children()) >= 2
    iterator.close()
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


def validation_of(data: Images, size: int, batch_size: int) -> list[Batch]:
    held_out = validation_batches(training_data((data, data), path="x"), size=size, batch_size=batch_size)
    assert held_out is not None
    return list(held_out)


def test_the_validation_subset_is_fixed_and_spread_evenly(small_data: Images) -> None:
    """Every iteration gives the same images; a subset reaches over all of the data."""
    once, again = validation_of(small_data, 10, 4), validation_of(small_data, 10, 4)
    assert [len(targets) for _, targets in once] == [4, 4, 2]
    assert same(once, again)
    assert names(once) == list(range(0, 50, 5))


def test_a_validation_subset_larger_than_the_data_is_all_of_it(small_data: Images) -> None:
    """Asking for more is no error; asking for none is."""
    assert names(validation_of(small_data, 1000, 8)) == list(range(50))
    with pytest.raises(ValueError, match="at least 1"):
        validation_of(small_data, 0, 8)


def test_validation_images_are_decoded_once(image_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are held as bytes, and not augmented."""
    data = data_of("imagefolder", root=str(image_tree), image_size=16, augmented={"RandomInvert": {"p": 1.0}})
    decoded: list[int] = []
    read = FileImages.image
    monkeypatch.setattr(FileImages, "image", lambda self, index: decoded.append(index) or read(self, index))
    once, again = (validation_of(data.validation, 4, 2) for _ in range(2))
    assert same(once, again)
    assert decoded == [0, 1, 2, 3]
    assert data.validation[0][0].dtype == torch.uint8
    assert (data.train.augmentation is not None) == (data.validation.augmentation is None)


def test_what_makes_batches_can_be_sent_to_a_fresh_process(small_data: Images) -> None:
    """Where processes are spawned, not forked, the maker of batches is pickled: it makes the same ones after."""
    samples = batches_of(small_data, augmented=True)._samples
    sent = pickle.loads(pickle.dumps(samples))
    made: Any = [each.__getitems__([(3, 0), (7, 2)]) for each in (samples, sent)]
    (one, _), (two, _) = made
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_batches_do_not_end(small_data: Images) -> None:
    """Epoch follows epoch."""
    iterator: Iterator[Batch] = iter(batches_of(small_data, batch_size=25))
    assert len(list(itertools.islice(iterator, 30))) == 30
