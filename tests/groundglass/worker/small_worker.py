"""A worker that keeps the service's contract in no time, for tests of what becomes of studies and processes.

What it does with a study is the name of the study's folder: `end-9` kills itself, `end-3` leaves with code 3, `hang`
never answers, `grow` has more memory afterwards; others are done, with the folder's name as what it says of them.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def tell(**said: object) -> None:
    print(json.dumps(said), flush=True)


print("starting", file=sys.stderr, flush=True)
if "--refuse" in sys.argv:
    sys.exit(2)
tell(ready=True, device="cpu")
memory_mib = 100
for line in sys.stdin:
    request = json.loads(line)
    study = Path(request["input"]).name
    with Path(request["log"]).open("a") as log:
        log.write(f"at {study}\n")
    if study.startswith("end-"):
        number = int(study.removeprefix("end-"))
        if number == signal.SIGKILL:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(number)
    while study == "hang":
        time.sleep(0.05)
    if study == "grow":
        memory_mib += 1000
    (Path(request["output"]) / "result.json").write_text(json.dumps({"study": study, "process": os.getpid()}))
    tell(code=0, memory_mib=memory_mib)
