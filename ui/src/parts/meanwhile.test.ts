import { expect, test } from "vitest"
import type { Field } from "./fields"
import { isChanged, linesOf, mineOnto } from "./meanwhile"

const FIELDS: Field[] = [
  { name: "cpus", label: "vCPUs", kind: "number" },
  { name: "memory", label: "Memory", kind: "size" },
]
const BASE = { cpus: "2", memory: "2GiB" }

test("a form is as it began until the resource changes", () => {
  expect(isChanged(BASE, { ...BASE })).toBe(false)
  expect(isChanged(BASE, { ...BASE, cpus: "3" })).toBe(true)
})

test("what was not touched takes what is there now", () => {
  const now = { cpus: "3", memory: "2GiB" }
  expect(mineOnto(now, { cpus: "2", memory: "4GiB" }, new Set(["memory"]))).toEqual({
    cpus: "3",
    memory: "4GiB",
  })
})

test("values are compared line by line, under their labels", () => {
  expect(linesOf(FIELDS, BASE)).toBe("vCPUs: 2\nMemory: 2GiB")
})
