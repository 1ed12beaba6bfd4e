"""Runs the requests that a model brings along, so that its first client does not wait.

The first run of a signature takes up to two seconds: TensorFlow optimizes the graph then.

Source: tensorflow/serving, servables/tensorflow/saved_model_warmup.cc.
"""

import os
import pathlib

from tfzoo.core.errors import UserError
from tfzoo.export import warm_up
from tfzoo.export.session import Session

MOST_RECORDS = 1000  # as TensorFlow Serving


def run(session: Session, folder: str | os.PathLike[str]) -> int:
    """Runs the requests of the version folder and returns how many there were.

    Raises:
        UserError: when the file is damaged or a request of it fails.
    """
    path = pathlib.Path(folder) / warm_up.FILE
    if not path.is_file():
        return 0
    requests = warm_up.read(folder)
    if len(requests) > MOST_RECORDS:
        raise UserError(
            f"more than {MOST_RECORDS} warm-up requests. Received: {len(requests)}, {path}"
        )
    for count, request in enumerate(requests):
        try:
            session.run(request.signature, **request.inputs)
        except UserError as error:
            raise UserError(f"warm-up request {count} of {path} failed: {error}") from error
    return len(requests)
