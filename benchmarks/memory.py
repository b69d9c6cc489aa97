"""The memory of a process, as the kernel counts it."""

from pathlib import Path


def status_mib(key: str, process: int | str = "self") -> float:
    """One line of /proc/PID/status: `VmRSS`, what is resident, or `VmHWM`, the most that ever was.

    Not the `ru_maxrss` of getrusage: that of a process begins at the peak of the one that started it, whose memory the
    two share for a moment.
    """
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024
