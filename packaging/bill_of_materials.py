"""Inside the build: the bill of materials (CycloneDX 1.5), and the licence of everything in the image."""

import json
from pathlib import Path

def write_bill_of_materials(folder: Path, version: str, epoch: int) -> None:
    import sys, re, subprocess
    sys.path.insert(0, "/opt/holoscan/app")
    from app.accelerator import load_cuda_runtime
    load_cuda_runtime()
    import app.application, highdicom, gdcm, openjpeg, rle, torch, scipy.ndimage, skimage.morphology, PIL.Image, PIL.ImageFont, jsonschema
    libs = sorted(set(re.findall(r"(/\S+\.so\S*)", Path("/proc/self/maps").read_text())))
    for l in libs:
        if l.startswith("/opt"): print(l); continue
        r = subprocess.run(["dpkg","-S",l],capture_output=True,text=True).stdout or subprocess.run(["dpkg","-S",l.replace("/usr/lib","/lib",1)],capture_output=True,text=True).stdout
        print(l, r.strip())
