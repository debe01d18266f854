# The numbers of gemm-sync.mlir, computed plainly: argv[1] is cq-gpu-run's output.
import sys

m, n, k = 16, 8, 64
a = [[(r * k + c) % 7 for c in range(k)] for r in range(m)]
b = [[(r * n + c) % 5 for c in range(n)] for r in range(k)]
want = [[sum(a[r][i] * b[i][c] for i in range(k)) for c in range(n)] for r in range(m)]
lines = open(sys.argv[1]).read().split("argument 2:\n")[1].splitlines()
got = [[float(x) for x in line.split()] for line in lines]
sys.exit(0 if got == want else "wrong numbers")
