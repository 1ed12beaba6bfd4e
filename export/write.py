"""Writes text on a small device: tokens in, tokens out, with LiteRT and no TensorFlow.

    python export/tflite.py runs/shakespeare/model served shakespeare
    python export/write.py served/shakespeare/tflite/1/decode.int8.tflite 464 2068 7586

The file holds the model of one token at a time; this is the loop around it, as an app has it. Of an
encoder-decoder the numbers are what it reads. `tfzoo.export.lite_writer` also draws tokens.
"""

import argparse
import json
import pathlib
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Prints what follows from the tokens on the command line, token after token."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, help="decode.float32.tflite, or int8")
    parser.add_argument("tokens", type=int, nargs="+", help="ids of the prompt")
    parser.add_argument("--new", type=int, default=20, help="how many tokens to write at most")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    config = json.loads(options.file.with_name("generation_config.json").read_text())
    ends = np.ravel(config.get("eos_token_id", -1))

    model = Interpreter(str(options.file), num_threads=options.threads)
    decode = model.get_signature_runner("decode")
    shapes = {name: detail["shape"] for name, detail in decode.get_input_details().items()}
    first = "encode" if "encode" in model.get_signature_list() else "prefill"
    begin = model.get_signature_runner(first)
    ids = np.zeros(begin.get_input_details()["token_ids"]["shape"], np.int32)
    count = len(options.tokens)
    ids[0, :count] = options.tokens

    if first == "prefill":  # the prompt's last token is read again, at its own place
        state = begin(token_ids=ids)
        token, position = options.tokens[-1], count - 1
    else:
        state = begin(token_ids=ids, lengths=np.array([count], np.int32))
        rest = shapes.keys() - state.keys() - {"token_id", "position"}
        state.update({name: np.zeros(shapes[name], np.float32) for name in rest})
        token, position = config.get("decoder_start_token_id", 0), 0

    begun, last = time.perf_counter(), min(position + options.new, shapes["key_0"][2] - 1)
    for place in range(position, last):
        token_id, at = np.array([token], np.int32), np.array([place], np.int32)
        answer = decode(token_id=token_id, position=at, **state)
        token = int(answer.pop("logits")[0].argmax())
        state.update(answer)  # the caches; of an encoder-decoder its keys and mask stay
        print(token, end=" ", flush=True)
        if token in ends:
            break
    milliseconds = 1000 * (time.perf_counter() - begun) / (place - position + 1)
    print(f"\n{milliseconds:.2f} ms a token")


if __name__ == "__main__":
    main()
