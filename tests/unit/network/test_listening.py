"""Ports at which programs of the host wait, as /proc/net tells of them."""

from pathlib import Path

from corral.network.listening import listening

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = """   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100500A:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0105A8C0:A000 0205A8C0:01BB 01 00000000:00000000 00:00000000 00000000     0        0 4 1
"""
UDP = "   0: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 5 2\n"
TCP6 = "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 6 1\n"


def test_who_waits_where(tmp_path: Path) -> None:
    for name, text in (("tcp", TCP), ("udp", UDP), ("tcp6", TCP6)):  # no udp6: a kernel may lack it
        (tmp_path / name).write_text(HEAD + text)
    anywhere = {("tcp", 22), ("udp", 67), ("tcp", 8080)}
    assert listening(proc=tmp_path) == anywhere | {("tcp", 53)}
    assert listening(["10.80.0.1"], tmp_path) == anywhere, "DNS of a network is reached on its bridge only"
