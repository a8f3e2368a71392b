import { describe, expect, it } from "vitest"
import { bodyOf, commandOf, type Fields, fieldsOf, sizeText } from "./fields"

const before: Fields = fieldsOf({
  labels: { rack: "r1", env: "prod" },
  spec: {
    cordoned: false,
    cpu_overcommit: 4,
    dedicated_cpus: "",
    idle_watts: 0,
    io_overcommit: 1,
    iops: 0,
    memory_overcommit: 1,
    network_mbit: 0,
    network_overcommit: 1,
    power_watts: 0,
    rack: "",
    reserve_cpus: 0,
    reserve_memory_bytes: 512 * 1024 ** 2,
  },
})

describe("bodyOf and commandOf", () => {
  const rows: [string, Partial<Fields>, object, string][] = [
    ["nothing", {}, {}, ""],
    [
      "figures",
      { cpu_overcommit: "2.5", reserve_memory: " 2GiB " },
      { cpu_overcommit: 2.5, reserve_memory: "2GiB" },
      "corral node set n1 --cpu-overcommit 2.5 --reserve-memory 2GiB",
    ],
    ["a rack with a blank", { rack: "row 1" }, { rack: "row 1" }, "corral node set n1 --rack 'row 1'"],
    ["no rack any more", { rack: "" }, {}, ""],
    [
      "a label more, one other, one gone",
      { labels: "rack=r2\nnew=a=b\n" },
      { labels: { rack: "r2", new: "a=b" } },
      "corral node labels n1 rack=r2 new=a=b env-",
    ],
    [
      "both",
      { reserve_cpus: "1", labels: "env=prod" },
      { reserve_cpus: 1, labels: { env: "prod" } },
      "corral node set n1 --reserve-cpus 1\ncorral node labels n1 rack-",
    ],
  ]
  it.each(rows)("%s", (_, change, body, command) => {
    const now = { ...before, ...change }
    expect(bodyOf(before, now)).toEqual(body)
    expect(commandOf("n1", before, now)).toBe(command)
  })
})

describe("sizeText", () => {
  const rows: [number, string][] = [
    [0, "0"],
    [1, "1"],
    [1024, "1KiB"],
    [1536 * 1024 ** 2, "1536MiB"],
    [4 * 1024 ** 3, "4GiB"],
    [1024 ** 3 + 1, "1073741825"],
  ]
  it.each(rows)("%d", (bytes, text) => expect(sizeText(bytes)).toBe(text))
})
