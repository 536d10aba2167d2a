"""Images to train on: a data set that is always there, and two larger ones."""

from bncourse.data.sets import FASHION_CLASSES, Dataset, digits, fashion_mnist, mnist

__all__ = ["FASHION_CLASSES", "Dataset", "digits", "fashion_mnist", "mnist"]
