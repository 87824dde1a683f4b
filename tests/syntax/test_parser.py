"""The shape of the tree for every construct, and the spans."""

import pytest

from meshlang.diag import MeshlangError
from meshlang.syntax import ast
from meshlang.syntax.dump import dump
from meshlang.syntax.parser import parse_expression, parse_file, parse_text

EXPRESSIONS = [
    # literals
    ("42", "42"),
    ("0x2A", "42"),
    ("0b101", "5"),
    ("1_000", "1000"),
    ("1.5", "1.5"),
    ("1e-10", "1e-10"),
    ("-1.0e4", "(Unary op=- operand=10000.0)"),
    ("true", "True"),
    ("'a'", "97"),
    (r"'\n'", "10"),
    (r"'\x0a'", "10"),
    (r'"a\n\x41\"é"', r"""'a\nA"\xe9'"""),
    ("{}", "(VoidLit)"),
    ("_", "_"),
    # postfix and prefix
    ("a.b.*[i, j](x,)", "(Call callee=(Index base=(Deref operand=(Field base=a name=b)) indices=[i j]) args=[x])"),
    ("(p.*)[i]", "(Index base=(Deref operand=p) indices=[i])"),
    ("a.color.task.const", "(Field base=(Field base=(Field base=a name=color) name=task) name=const)"),
    ("-~!&x", "(Unary op=- operand=(Unary op=~ operand=(Unary op=! operand=(AddrOf operand=x))))"),
    ("&a[1]", "(AddrOf operand=(Index base=a indices=[1]))"),
    ("--x", "(Unary op=- operand=(Unary op=- operand=x))"),
    ("comptime f(1) + 2", "(+ (ComptimeExpr expr=(Call callee=f args=[1])) 2)"),
    ("@as(f32, x)", "(BuiltinCall name=as args=[f32 x])"),
    ("@fp16()", "(BuiltinCall name=fp16 args=[])"),
    # the ladder
    ("a + b * c - d", "(- (+ a (* b c)) d)"),
    ("a / b % c", "(% (/ a b) c)"),
    ("a << b + c", "(<< a (+ b c))"),
    ("x & 1 != 0", "(!= (& x 1) 0)"),
    ("a & b | c ^ d", "(^ (| (& a b) c) d)"),
    ("a | b << 2", "(| a (<< b 2))"),
    ("a <= b and r & p == 0 or c", "(or (and (<= a b) (== (& r p) 0)) c)"),
    ("a or b and c", "(or a (and b c))"),
    ("(a + b) * c", "(* (+ a b) c)"),
    ("a - -b", "(- a (Unary op=- operand=b))"),
    ("(a < b) == c", "(== (< a b) c)"),
    ("a * b.*", "(* a (Deref operand=b))"),
    ("a*b", "(* a b)"),
    ("!a and b", "(and (Unary op=! operand=a) b)"),
    # struct, tuple and array values
    (".{}", "(StructLit fields=[])"),
    (".{ .a = 1, .color = x, }", "(StructLit fields=[(FieldInit name=a value=1) (FieldInit name=color value=x)])"),
    (".{ 1, x }", "(TupleLit elems=[1 x])"),
    (
        ".{ .{ 1 }, .{ .a = 2 } }",
        "(TupleLit elems=[(TupleLit elems=[1]) (StructLit fields=[(FieldInit name=a value=2)])])",
    ),
    ("Name { .a = 1 }", "(StructLit type=Name fields=[(FieldInit name=a value=1)])"),
    ("m.Name {}", "(StructLit type=(Field base=m name=Name) fields=[])"),
    ("[3]i16 {1, 2, 3,}", "(ArrayLit type=(ArrayType dims=[3] elem=i16) elems=[1 2 3])"),
    ("[2, n]f32 { a, b }", "(ArrayLit type=(ArrayType dims=[2 n] elem=f32) elems=[a b])"),
    ("[0]u16 {}", "(ArrayLit type=(ArrayType dims=[0] elem=u16) elems=[])"),
    # types
    ("*T", "(PtrType elem=T)"),
    ("*const T", "(PtrType const elem=T)"),
    ("[*]T", "(PtrType many elem=T)"),
    ("[*]const T", "(PtrType many const elem=T)"),
    ("*[N]T", "(PtrType elem=(ArrayType dims=[N] elem=T))"),
    ("[*]align(4) T", "(PtrType many elem=T align=4)"),
    ("**T", "(PtrType elem=(PtrType elem=T))"),
    ("*const fn(i16, x: *f32,) void", "(PtrType const elem=(FnType params=[i16 (PtrType elem=f32)] ret=void))"),
    ("fn() void", "(FnType params=[] ret=void)"),
    ("task (u16) void", "(FnType params=[u16] ret=void is_task)"),
    ("[a + 1, 2]i16", "(ArrayType dims=[(+ a 1) 2] elem=i16)"),
    (
        "struct { a: i16, b: [2]f32 = x, }",
        "(StructType fields=[(FieldDecl name=a type=i16) "
        "(FieldDecl name=b type=(ArrayType dims=[2] elem=f32) default=x)])",
    ),
    ("struct { i16, f32 }", "(StructType fields=[(FieldDecl type=i16) (FieldDecl type=f32)])"),
    ("packed struct { a: u4 }", "(StructType fields=[(FieldDecl name=a type=u4)] layout=packed)"),
    (
        "extern union { a: u16, b: f16 }",
        "(UnionType fields=[(FieldDecl name=a type=u16) (FieldDecl name=b type=f16)] layout=extern)",
    ),
    ("enum(u16) { A, B = 4, }", "(EnumType base=u16 members=[(EnumMember name=A) (EnumMember name=B value=4)])"),
    ("enum { A }", "(EnumType members=[(EnumMember name=A)])"),
    # control flow as expressions
    ("if (c) a else b + 1", "(If cond=c then=a orelse=(+ b 1))"),
    ("1 + if (c) a else b", "(+ 1 (If cond=c then=a orelse=b))"),
    ("(if (c) 0 else 1) + (if (d) 0 else 1)", "(+ (If cond=c then=0 orelse=1) (If cond=d then=0 orelse=1))"),
    ("if (c) a else if (d) b else e", "(If cond=c then=a orelse=(If cond=d then=b orelse=e))"),
    ("if (c) {} else x", "(If cond=c then=(Block stmts=[]) orelse=x)"),
    (
        "if (c) Name { .a = 1 } else .{ 2 }",
        "(If cond=c then=(StructLit type=Name fields=[(FieldInit name=a value=1)]) orelse=(TupleLit elems=[2]))",
    ),
    (
        "switch (v) { A, B => 1, C => { f(); }, else => x, }",
        "(Switch value=v prongs=[(Prong values=[A B] body=1) (Prong values=[C] body=(Block stmts=[(ExprStmt "
        "expr=(Call callee=f args=[]))])) (Prong values=[] body=x)])",
    ),
    (
        "switch (v) { 1 => x = 2, 2 => return, else => {} }",
        "(Switch value=v prongs=[(Prong values=[1] body=(= x 2)) (Prong values=[2] body=(Return)) "
        "(Prong values=[] body=(Block stmts=[]))])",
    ),
    (
        "switch (v) { 1 => for (a) |x| f(x), else => {} }",
        "(Switch value=v prongs=[(Prong values=[1] body=(For iter=a elem=x body=(Call callee=f args=[x]))) "
        "(Prong values=[] body=(Block stmts=[]))])",
    ),
    ("blk: { break :blk 5; }", "(Block stmts=[(Break label=blk value=5)] label=blk)"),
    ("comptime blk: { break :blk 5; }", "(ComptimeExpr expr=(Block stmts=[(Break label=blk value=5)] label=blk))"),
    # `comptime` stands in front of any expression
    ("comptime if (c) 1 else 2", "(ComptimeExpr expr=(If cond=c then=1 orelse=2))"),
    ("f(comptime if (c) 1 else 2)", "(Call callee=f args=[(ComptimeExpr expr=(If cond=c then=1 orelse=2))])"),
    ("1 + comptime if (c) 1 else 2", "(+ 1 (ComptimeExpr expr=(If cond=c then=1 orelse=2)))"),
    (
        "comptime |i|{n} -> A[i]",
        "(ComptimeExpr expr=(TensorAccess vars=[i] lengths=[n] target=A indices=[i]))",
    ),
    # the two signs of `.{` may stand apart
    (". { .a = 1 }", "(StructLit fields=[(FieldInit name=a value=1)])"),
    (".\n  // why\n  { 1, 2 }", "(TupleLit elems=[1 2])"),
    ("f(. {})", "(Call callee=f args=[(StructLit fields=[])])"),
    # tensor access
    ("|i|{n} -> A[i]", "(TensorAccess vars=[i] lengths=[n] target=A indices=[i])"),
    ("|i, j| {n, m} -> A[i+j, 2*i]", "(TensorAccess vars=[i j] lengths=[n m] target=A indices=[(+ i j) (* 2 i)])"),
    ("|i|{4} -> ptr.*[i]", "(TensorAccess vars=[i] lengths=[4] target=(Deref operand=ptr) indices=[i])"),
    ('asm volatile("nop" : : : "r1")', '(Asm text=asm volatile("nop" : : : "r1"))'),
]

STATEMENTS = [
    ("x = 1;", "(= x 1)"),
    ("a[i, j] += 2 * b;", "(+= (Index base=a indices=[i j]) (* 2 b))"),
    ("_ = f();", "(= _ (Call callee=f args=[]))"),
    ("p.*.x <<= 1;", "(<<= (Field base=(Deref operand=p) name=x) 1)"),
    ("x -= 1; y *= 2; z /= 3; w %= 4;", "(-= x 1) (*= y 2) (/= z 3) (%= w 4)"),
    ("a &= b; a |= b; a ^= b; a >>= b;", "(&= a b) (|= a b) (^= a b) (>>= a b)"),
    ("if (a) x = 1;", "(If cond=a then=(= x 1))"),
    ("if (a) x = 1 else y = 2;", "(If cond=a then=(= x 1) orelse=(= y 2))"),
    (
        "if (a) { } else if (b) { } else { }",
        "(If cond=a then=(Block stmts=[]) orelse=(If cond=b then=(Block stmts=[]) orelse=(Block stmts=[])))",
    ),
    ("if (a) for (b) |c| f(c);", "(If cond=a then=(For iter=b elem=c body=(ExprStmt expr=(Call callee=f args=[c]))))"),
    ("if (a) if (b) x = 1 else y = 2;", "(If cond=a then=(If cond=b then=(= x 1) orelse=(= y 2)))"),
    ("while (a) { }", "(While cond=a body=(Block stmts=[]))"),
    ("while (a) : (i += 1) f();", "(While cond=a cont=(+= i 1) body=(ExprStmt expr=(Call callee=f args=[])))"),
    ("for (@range(i16, n)) |i| { }", "(For iter=(BuiltinCall name=range args=[i16 n]) elem=i body=(Block stmts=[]))"),
    ("for (a) |_, k| x = k;", "(For iter=a elem=_ index=k body=(= x k))"),
    (
        "inline for (a) |e| { } inline while (b) { }",
        "(For iter=a elem=e body=(Block stmts=[]) inline) (While cond=b body=(Block stmts=[]) inline)",
    ),
    (
        "outer: for (a) |e| { break :outer; continue :outer; break; continue; }",
        "(For iter=a elem=e body=(Block stmts=[(Break label=outer) (Continue label=outer) (Break) (Continue)]) "
        "label=outer)",
    ),
    ("l: while (a) f();", "(While cond=a body=(ExprStmt expr=(Call callee=f args=[])) label=l)"),
    ("l: { break :l; }", "(Block stmts=[(Break label=l)] label=l)"),
    ("return;", "(Return)"),
    ("return Name{ .a = 1 };", "(Return value=(StructLit type=Name fields=[(FieldInit name=a value=1)]))"),
    ("switch (v) { else => f() }", "(Switch value=v prongs=[(Prong values=[] body=(Call callee=f args=[]))])"),
    ("switch (v) {}", "(Switch value=v prongs=[])"),
    (
        "comptime { x = 1; } comptime { };",
        "(ComptimeBlock body=(Block stmts=[(= x 1)])) (ComptimeBlock body=(Block stmts=[]))",
    ),
    (
        "comptime if (a) { f(); } else g();",
        "(ComptimeBlock body=(Block stmts=[(If cond=a then=(Block stmts=[(ExprStmt expr=(Call callee=f args=[]))]) "
        "orelse=(ExprStmt expr=(Call callee=g args=[])))]))",
    ),
    (
        "comptime switch (v) { else => {} }",
        "(ComptimeBlock body=(Block stmts=[(Switch value=v prongs=[(Prong values=[] body=(Block stmts=[]))])]))",
    ),
    (
        "comptime for (a) |e| f(e); comptime while (a) f();",
        "(ComptimeBlock body=(Block stmts=[(For iter=a elem=e body=(ExprStmt expr=(Call callee=f args=[e])))])) "
        "(ComptimeBlock body=(Block stmts=[(While cond=a body=(ExprStmt expr=(Call callee=f args=[])))]))",
    ),
    ("const noinline = 1;", "(Decl kind=const name=noinline init=1)"),
    ("comptime f();", "(ExprStmt expr=(ComptimeExpr expr=(Call callee=f args=[])))"),
    ("comptime var x: i16 = 0;", "(Decl kind=var name=x type=i16 init=0 comptime)"),
    ("const x = y;;", "(Decl kind=const name=x init=y)"),
    ("var x: [4]f32;", "(Decl kind=var name=x type=(ArrayType dims=[4] elem=f32))"),
    ("var x: if (a) f16 else f32 = 0.0;", "(Decl kind=var name=x type=(If cond=a then=f16 orelse=f32) init=0.0)"),
    (
        "const layout = 1; const color = 2; const align = 3; const packed = 4;",
        "(Decl kind=const name=layout init=1) (Decl kind=const name=color init=2) (Decl kind=const name=align init=3) "
        "(Decl kind=const name=packed init=4)",
    ),
]

ITEMS = [
    ("param n;", "(Decl kind=param name=n)"),
    ("param n: i16 = 4;", "(Decl kind=param name=n type=i16 init=4)"),
    ("param p = {};", "(Decl kind=param name=p init=(VoidLit))"),
    ("color c;", "(Decl kind=color name=c)"),
    (
        'export var x: [2]f32 align(16) linksection(".s") = y;',
        "(Decl kind=var name=x type=(ArrayType dims=[2] elem=f32) init=y align=16 linksection='.s' export)",
    ),
    (
        'extern const f: *const fn(i16) void linkname("g");',
        "(Decl kind=const name=f type=(PtrType const elem=(FnType params=[i16] ret=void)) linkname='g' extern)",
    ),
    (
        "const r: extern struct { a: u16 } = x;",
        "(Decl kind=const name=r type=(StructType fields=[(FieldDecl name=a type=u16)] layout=extern) init=x)",
    ),
    (
        "fn f(a: i16, comptime b: type, c: anytype, comptime d: anytype,) [*]f32 { }",
        "(FnDecl name=f params=[(Param name=a type=i16) (Param name=b type=type comptime) (Param name=c) "
        "(Param name=d comptime)] ret=(PtrType many elem=f32) body=(Block stmts=[]))",
    ),
    ("fn f() Name { return x; }", "(FnDecl name=f params=[] ret=Name body=(Block stmts=[(Return value=x)]))"),
    (
        "fn f() struct { a: i16 } { }",
        "(FnDecl name=f params=[] ret=(StructType fields=[(FieldDecl name=a type=i16)]) body=(Block stmts=[]))",
    ),
    ("noinline fn f() void {}", "(FnDecl name=f params=[] ret=void body=(Block stmts=[]) noinline)"),
    ("export noinline fn f() void {}", "(FnDecl name=f params=[] ret=void body=(Block stmts=[]) noinline export)"),
    ("noinline task t() void {}", "(FnDecl name=t params=[] ret=void body=(Block stmts=[]) is_task noinline)"),
    ("inline fn f() void {}", "(FnDecl name=f params=[] ret=void body=(Block stmts=[]) inline)"),
    (
        'export fn f() linkname("g") void {}',
        "(FnDecl name=f params=[] ret=void body=(Block stmts=[]) export linkname='g')",
    ),
    (
        'export fn f() void linksection(".t") {}',
        "(FnDecl name=f params=[] ret=void body=(Block stmts=[]) export linksection='.t')",
    ),
    ("extern fn f(x: f32) f32;", "(FnDecl name=f params=[(Param name=x type=f32)] ret=f32 extern)"),
    (
        "task t(x: u16) void {}",
        "(FnDecl name=t params=[(Param name=x type=u16)] ret=void body=(Block stmts=[]) is_task)",
    ),
    ("task t() {}", "(FnDecl name=t params=[] body=(Block stmts=[]) is_task)"),
    (
        "comptime { }; layout { @set_rectangle(1, 1); }",
        "(ComptimeBlock body=(Block stmts=[])) (LayoutBlock body=(Block stmts=[(ExprStmt "
        "expr=(BuiltinCall name=set_rectangle args=[1 1]))]))",
    ),
    ("layout{} // end", "(LayoutBlock body=(Block stmts=[]))"),
    ("", ""),
    ("\t\r\n// only a comment", ""),
]


@pytest.mark.parametrize(("text", "shape"), EXPRESSIONS)
def test_expression(text, shape):
    node = parse_expression(text)
    assert dump(node) == shape
    if not text.startswith("("):
        assert node.span.text() == text
    # The same inside a file.
    assert dump(parse_text(f"const x = {text};").items[0].init) == shape


@pytest.mark.parametrize(("text", "shape"), STATEMENTS)
def test_statement(text, shape):
    body = parse_text(f"fn f() void {{ {text} }}").items[0].body
    assert " ".join(dump(s) for s in body.stmts) == shape


@pytest.mark.parametrize(("text", "shape"), ITEMS)
def test_item(text, shape):
    assert " ".join(dump(item) for item in parse_text(text).items) == shape


def test_spans_cover_the_construct():
    text = "export fn f(a: i16) void {\n  x[1] = (a + 2) * 3;\n}\n"
    fn = parse_text(text).items[0]
    assert fn.span.text() == text.strip()
    assert fn.name_span.text() == "f"
    assign = fn.body.stmts[0]
    assert assign.span.text() == "x[1] = (a + 2) * 3"
    assert assign.value.span.text() == "(a + 2) * 3"
    assert assign.value.left.span.text() == "(a + 2)"
    assert assign.target.span.line_col() == (2, 3)
    assert parse_text(text).span.end == len(text)


def test_every_node_has_a_span_inside_its_parent():
    text = "".join(f"const a{i} = {e};\n" for i, (e, _) in enumerate(EXPRESSIONS))

    def walk(node, outer):
        assert outer.start <= node.span.start <= node.span.end <= outer.end, dump(node)
        for name in node.__slots__ if not hasattr(node, "__dataclass_fields__") else node.__dataclass_fields__:
            value = getattr(node, name)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.Node):
                    walk(child, node.span)

    module = parse_text(text)
    walk(module, module.span)


def test_same_text_is_parsed_once():
    assert parse_text("const a = 1;", "a.csl") is parse_text("const a = 1;", "a.csl")


def test_long_chains_and_deep_nesting():
    parse_expression(" + ".join(["1"] * 5000))
    parse_expression("(" * 300 + "1" + ")" * 300)
    with pytest.raises(MeshlangError) as e:
        parse_expression("(" * 5000 + "1" + ")" * 5000)
    assert [d.code for d in e.value.diagnostics] == ["MS0129"]


def test_numbers_as_long_as_python_takes_them():
    """Python refuses to convert more than 4300 digits; the zeros of a number count."""
    nines = "9" * 4000
    assert parse_expression(nines).value == parse_expression("_".join(nines)).value == 10**4000 - 1
    for text in (nines + "9", "0" * 3999 + "12"):
        with pytest.raises(MeshlangError) as e:
            parse_expression(text)
        assert [(d.code, d.message) for d in e.value.diagnostics] == [("MS0108", "this number is too long")]


def test_parse_expression_wants_one_expression():
    for text in ("", "1 2", "1;", "x = 1", "const a = 1;"):
        with pytest.raises(MeshlangError) as e:
            parse_expression(text)
        assert all(d.code.startswith("MS01") for d in e.value.diagnostics)


def test_files(tmp_path):
    good = tmp_path / "a.csl"
    good.write_bytes(b'\xef\xbb\xbfconst s = "\xc3\xa9";')
    assert dump(parse_file(good).items[0].init) == r"'\xe9'"
    bad = tmp_path / "b.csl"
    bad.write_bytes(b'const a = 1;\nconst b = "//"; const c = "\xff";\n')
    old = tmp_path / "old.csl"
    old.write_bytes(b'const a = 1; // 5 \xb5m\r\nconst s = "\xc3\xa9"; // \xe9\r\n')
    assert [dump(i.init) for i in parse_file(old).items] == ["1", r"'\xe9'"]  # comments may be of any encoding
    for path, code, words in (
        (bad, "MS0906", "line 2"),
        (tmp_path, "MS0907", "folder"),
        (tmp_path / "no", "MS0901", "no file"),
    ):
        with pytest.raises(MeshlangError) as e:
            parse_file(path)
        assert e.value.diagnostics[0].code == code
        assert words in e.value.diagnostics[0].message


@pytest.mark.parametrize(
    "text",
    [
        "fn f() void { }",
        "noinline fn f() void { }",
        "inline fn f() void { }",
        "export fn f() void { }",
        "export noinline fn f() void { }",
        "noinline task t() void { }",
    ],
)
def test_a_function_reaches_from_its_first_word_to_its_end(text):
    (item,) = parse_text(f"\n  {text}  // end\n").items
    assert item.span.text() == text
