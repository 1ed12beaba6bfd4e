"""Packaging of tfzoo. Dependencies are pinned to ranges that the tests ran in, with reasons."""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent

INSTALL = [
    "absl-py>=2.1,<3",  # command line and logging
    "ai-edge-litert>=2.1,<3",  # runs TFLite files, as a phone does
    "aiohttp>=3.10,<4",  # the embedded server
    "flatbuffers>=24.3.25,<27",  # reads what a TFLite file needs
    "h5py>=3.11,<4",  # Keras' weight files
    "huggingface-hub>=1,<3",  # models by hf://; a megabyte, so not worth an extra to forget
    "keras>=3.15,<3.16",  # the trainer overrides one private method of its optimizers
    "matplotlib>=3.9,<4",  # the confusion matrix as a picture
    "numpy>=2,<3",
    "protobuf>=5,<8",  # SentencePiece models; TensorFlow brings it
    "pyyaml>=6,<7",  # experiments
    "requests>=2.32,<3",  # the client
    "sacrebleu>=2.4,<3",  # BLEU that compares with others'
    "safetensors>=0.5,<1",  # Hugging Face checkpoints
    "scikit-learn>=1.5,<2",  # metrics
    "tensorboard>=2.20,<2.22",
    "tensorflow>=2.21,<2.22",
    "tensorflow-text>=2.21.1,<2.22",  # 2.21.0 does not import
    "tqdm>=4.66,<5",  # progress bars
]
TEST = [
    "pytest>=8,<10",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",  # two tests at a time
]
VOCABULARY = [  # what trains vocabularies; tokenizing needs none of it
    "sentencepiece>=0.2,<1",
    "tokenizers>=0.22,<1",
]
BENCH = [  # the peers; tfzoo never imports torch
    *VOCABULARY,
    "keras-hub>=0.25,<1",
    "sentence-transformers>=5,<7",
    "torch==2.13.0",
    "transformers>=5,<6",
]
PARITY = [  # what the tests with marker parity compare with
    *BENCH,
    "jax>=0.5,<1",  # the models on Keras' other backend
    "sacremoses>=0.1,<1",  # transformers' Marian tokenizer warns without it
]
PROFILE = [  # shows the traces that `train.tensorboard.profile` makes; about 40 packages
    "tensorboard-plugin-profile>=2.19,<3",
]
BEAM = [  # `tfzoo prepare --beam`; up to 2.77 it wants protobuf below 7, which suits TensorFlow
    "apache-beam>=2.77,<3",
]
TFDS = [  # inputs of `tfzoo prepare` by name
    "tensorflow-datasets>=4.9.9,<5",
]
DEVELOP = [
    *TEST,
    "mypy>=1.15,<3",
    "ruff>=0.11,<1",
    "types-PyYAML",
    "types-requests",
    "types-tqdm",
]

setuptools.setup(
    name="tfzoo",
    version="0.1.0",
    description="The transformer zoo for people who run TensorFlow",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=setuptools.find_packages(include=["tfzoo", "tfzoo.*"]),
    package_data={"tfzoo": ["py.typed", "text/*.xz", "text/*.bin*"]},
    install_requires=INSTALL,
    extras_require={
        "test": TEST,
        "vocabulary": VOCABULARY,
        "parity": PARITY,
        "bench": BENCH,
        "profile": PROFILE,
        "beam": BEAM,
        "tfds": TFDS,
        "dev": DEVELOP,
    },
    entry_points={"console_scripts": ["tfzoo = tfzoo.cli.main:console"]},
    # BUILD and setuptools' build/ are one name on macOS and Windows disks.
    options={"build": {"build_base": ".build"}},
)
