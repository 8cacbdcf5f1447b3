"""The server of docs/deploy.md answers, and refuses what is not an image."""

import json
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import exported
import numpy as np
import pytest
from conftest import ROOT


def test_the_server_of_the_page_answers(tmp_path: Path, monkeypatch) -> None:
    page = (ROOT / 'docs/deploy.md').read_text()
    (program,) = re.findall(r'test_serving\.py -->\n\n```python\n(.*?)```', page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exported.detector(tmp_path / 'trees.onnx')
    names: dict = {}
    program = program.replace('8000', '0').replace('server.serve_forever()', '')
    exec(compile(program, 'docs/deploy.md', 'exec'), names)
    server = names['server']
    names['Handler'].log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f'http://127.0.0.1:{server.server_port}'

    def ask(content: bytes) -> dict:
        return json.load(urllib.request.urlopen(address, data=content))

    photo = cv2.imencode('.png', np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    answer = ask(photo)
    assert answer['boxes'] == [[0, 0, 30, 40]] * 2 and answer['names'] == ['red', 'green']
    for content in (b'no image', b''):
        with pytest.raises(urllib.error.HTTPError, match='400: not an image'):
            ask(content)
    assert ask(photo) == answer
    server.shutdown()
    server.server_close()
