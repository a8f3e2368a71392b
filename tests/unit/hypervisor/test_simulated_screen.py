"""A viewer of the simulated screen that asks for more than it reads."""

import struct

from corral.hypervisor.simulated.screen import HEIGHT, UNREAD_MAX, WIDTH, Screen, ScreenConsole

ASK = struct.pack(">BBHHHH", 3, 0, 0, 0, WIDTH, HEIGHT)


async def test_a_viewer_that_does_not_read_costs_little() -> None:
    screen = Screen("web")
    viewer = ScreenConsole(screen)
    await viewer.write(b"RFB 003.008\n\x01\x01" + ASK * 1000)
    for key in b"keys":
        screen.press(key)
    pieces = [await viewer.read() for _ in range(UNREAD_MAX)]
    assert pieces[0] == b"RFB 003.008\n" and sum(map(len, pieces)) < 2 * 4 * WIDTH * HEIGHT
    while len(update := await viewer.read()) < 4 * WIDTH * HEIGHT:
        pass
    assert update[0] == 0, "and then it is shown what it waits for"
    viewer.end()
    while await viewer.read():
        pass
