import { describe, expect, it } from "vitest"
import type { Columns } from "../../api/fleet"
import { rowsOf } from "./rows"

const columns: Columns = {
  revision: 1,
  ids: ["a", "b", "c", "d"],
  names: ["node10", "node2", "Web", "node1"],
  phases: ["ready", "lost", "ready", "ready"],
  racks: ["r2", "r10", "", "r2"],
  cpu_claimed: [0.5, 0.5, 0.1, 0.9],
  memory_claimed: [0, 0, 0, 0],
  cpu_used: [0.2, null, 0, 0.1],
  memory_used: [0, 0, 0, 0],
  vms: [1, 2, 3, 4],
}
const named = (wanted: Partial<Parameters<typeof rowsOf>[1]>) =>
  rowsOf(columns, { name: "", phase: "", sort: "name", ...wanted }).map(at => columns.names[at])

describe("rowsOf", () => {
  const rows: [string, Parameters<typeof named>[0], string[]][] = [
    ["by name, numbers as numbers", {}, ["node1", "node2", "node10", "Web"]],
    ["by name, backwards", { sort: "-name" }, ["Web", "node10", "node2", "node1"]],
    ["by a figure, equal ones by name", { sort: "cpu_claimed" }, ["Web", "node2", "node10", "node1"]],
    [
      "the highest first, equal ones still by name",
      { sort: "-cpu_claimed" },
      ["node1", "node2", "node10", "Web"],
    ],
    ["unknown is least", { sort: "cpu_used" }, ["node2", "Web", "node1", "node10"]],
    ["by rack", { sort: "rack" }, ["Web", "node1", "node10", "node2"]],
    ["of one phase", { phase: "lost" }, ["node2"]],
    ["with a part of the name, whatever the case", { name: " WEB " }, ["Web"]],
    ["none", { name: "nothing like it" }, []],
  ]
  it.each(rows)("%s", (_, wanted, names) => expect(named(wanted)).toEqual(names))
})
