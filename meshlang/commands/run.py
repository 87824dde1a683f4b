HELP=""
EXAMPLES=""
def configure(p): pass
def execute(a): return 0
