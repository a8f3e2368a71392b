import { describe, expect, it } from "vitest"
import { nameOfFile } from "./names"

describe("nameOfFile", () => {
  const rows: [string, string][] = [
    ["debian-12.qcow2", "debian-12"],
    ["My Image (2).img", "my-image-2"],
    ["ubuntu-24.04.vmdk", "ubuntu-24.04"],
    ["plain", "plain"],
    ["图.raw", ""],
  ]
  it.each(rows)("%s is called %s", (file, name) => expect(nameOfFile(file)).toBe(name))
})
