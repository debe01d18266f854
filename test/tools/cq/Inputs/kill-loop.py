# usage: kill-loop.py [--once] COMMAND… Kills the command (SIGKILL) after one more tensor than
# the last time, again and again, until it finishes; with --once kills it once.
import subprocess
import sys

once = sys.argv[1] == "--once"
command = sys.argv[2:] if once else sys.argv[1:]
continued = ""
for tensors in range(3, 1000):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "continues a run that was stopped" in line:
            continued = line.split(":")[-1].strip()
        # The number counts the tensors that earlier runs did.
        if line.startswith("quantizing") and int(line.split()[1].split("/")[0]) >= tensors:
            process.kill()
            break
    process.communicate()
    if once:
        break
    if process.returncode == 0:
        print(f"continued, at the end with {continued.replace('are done', 'done')}")
        break
else:
    sys.exit("it never finished")
