import { describe, expect, it } from "vitest"
import { cellViews, cpuSet } from "./cells"

describe("cpuSet", () => {
  const rows: [string, number[]][] = [
    ["", []],
    ["3", [3]],
    ["4-7", [4, 5, 6, 7]],
    ["4,20,5,21", [4, 20, 5, 21]],
    ["0-1, 8-9", [0, 1, 8, 9]],
    ["nonsense,2", [2]],
    ["5-4", []],
  ]
  it.each(rows)("%s", (text, cpus) => expect(cpuSet(text)).toEqual(cpus))
})

const cell = (id: number, cpus: number[]) => ({
  id,
  cpus,
  memory_bytes: 100,
  hugepages: { "2097152": 8, "1": 0 },
  cores: [],
})
const vm = (name: string, ...cells: { cell: number; cpus?: string; memory_bytes: number }[]) => ({
  id: `vm-${name}`,
  name,
  status: { platform: { cells } },
})

describe("cellViews", () => {
  const { cells, floating } = cellViews(
    [cell(0, [0, 1, 2, 3]), cell(1, [4, 5, 6, 7])],
    [
      vm("one", { cell: 0, cpus: "2,3", memory_bytes: 40 }),
      vm("both", { cell: 0, cpus: "1", memory_bytes: 10 }, { cell: 1, cpus: "4-5", memory_bytes: 20 }),
      vm("memory-only", { cell: 1, memory_bytes: 5 }),
      vm("nowhere"),
      { id: "vm-new", name: "new" },
    ],
    "1-5",
  )
  it("says whose each CPU is", () =>
    expect(cells.map(c => c.cpus.map(cpu => cpu.vm?.name ?? "-"))).toEqual([
      ["-", "both", "one", "one"],
      ["both", "both", "-", "-"],
    ]))
  it("says which CPUs are for dedicated vCPUs", () =>
    expect(cells[0]?.cpus.map(cpu => cpu.dedicated)).toEqual([false, true, true, true]))
  it("adds up memory cell by cell", () => expect(cells.map(c => c.claimed_bytes)).toEqual([50, 25]))
  it("has a VM on each of its cells", () =>
    expect(cells.map(c => c.vms.map(v => v.name))).toEqual([
      ["one", "both"],
      ["both", "memory-only"],
    ]))
  it("leaves out sizes of which there are no pages", () =>
    expect(cells[0]?.hugepages).toEqual([[2097152, 8]]))
  it("names those without a place of their own", () =>
    expect(floating.map(v => v.name)).toEqual(["nowhere", "new"]))
})
