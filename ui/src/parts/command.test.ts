import { describe, expect, it } from "vitest"
import { command, wordsOf } from "./command"

describe("command", () => {
  it("quotes what a shell would take apart", () =>
    expect(command(["corral", "pool", "create", "a b"])).toBe("corral pool create 'a b'"))
  it("leaves out what was not given", () =>
    expect(command(["x"], { path: "", shared: false, node: [], mtu: undefined })).toBe("x"))
  it("says flags alone and lists one by one", () =>
    expect(command(["x"], { shared: true, node: ["n1", "n2"], mtu: 1500 })).toBe(
      "x --shared --node n1 --node n2 --mtu 1500",
    ))
})

describe("wordsOf", () => {
  it("takes commas and spaces", () => expect(wordsOf(" a, b c,")).toEqual(["a", "b", "c"]))
  it("is empty for nothing", () => expect(wordsOf("")).toEqual([]))
})
