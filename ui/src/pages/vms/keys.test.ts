import { expect, it } from "vitest"
import { keysOf } from "./keys"

it("types text as X names its keys", () => {
  expect(keysOf("aÄ中\r\n\t")).toEqual([0x61, 0xc4, 0x01004e2d, 0xff0d, 0xff09])
  expect(keysOf("😀")).toEqual([0x0101f600])
})
