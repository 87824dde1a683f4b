"""Which name was meant."""

from meshlang.diag import did_you_mean, nearest


def test_the_name_most_like_it():
    known = ("port", "host", "queue")
    assert nearest("prot", known) == "port" and nearest("hosts", (n for n in known)) == "host"
    assert nearest("wafer", known) is None and nearest("port", ()) is None


def test_as_messages_have_it():
    assert did_you_mean("prot", ["port"]) == "did you mean 'port'?"
    assert did_you_mean("prot", {"port": 1}, "<{}>") == "did you mean <port>?"
    assert did_you_mean("x", ["port"]) is None
