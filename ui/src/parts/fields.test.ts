import { describe, expect, it } from "vitest"
import { problemOf } from "../api/client"
import { bodyOf, type Field, initialValues, labelsOf, labelsText, troubleAt } from "./fields"

const fields: Field[] = [
  { name: "name", label: "Name", kind: "text" },
  { name: "cpus", label: "vCPUs", kind: "number" },
  { name: "limits.iops", label: "IOPS", kind: "number" },
  { name: "running", label: "Start", kind: "check", initial: true },
  { name: "labels", label: "Labels", kind: "labels" },
  { name: "nodes", label: "Nodes", kind: "words" },
  { name: "vlan", label: "VLAN", kind: "number", when: values => values.cpus === "2" },
]

describe("bodyOf", () => {
  const rows: [string, Record<string, string | boolean>, object][] = [
    ["sends nothing that was left as it was", {}, {}],
    ["sends numbers as numbers", { cpus: "4" }, { cpus: 4 }],
    ["leaves it to the server to refuse what is no number", { cpus: "many" }, { cpus: "many" }],
    ["goes deeper at dots", { "limits.iops": "500" }, { limits: { iops: 500 } }],
    ["sends a check that was changed", { running: false }, { running: false }],
    ["reads labels", { labels: "env=prod, gpu" }, { labels: { env: "prod", gpu: "" } }],
    ["takes words apart", { nodes: " n1, n2 n3 " }, { nodes: ["n1", "n2", "n3"] }],
    ["leaves out what does not apply", { vlan: "7" }, {}],
    ["sends it where it applies", { cpus: "2", vlan: "7" }, { cpus: 2, vlan: 7 }],
  ]
  it.each(rows)("%s", (_, values, body) => {
    expect(bodyOf(fields, { ...initialValues(fields), ...values })).toEqual(body)
  })
})

describe("labels", () => {
  it("go there and back", () => {
    const labels = { env: "prod", url: "a=b", flag: "" }
    expect(labelsOf(labelsText(labels))).toEqual(labels)
  })
})

describe("troubleAt", () => {
  const problem = (field: string) => problemOf({ code: "request.invalid", context: { field } }, 400)
  it("finds the field by its path", () =>
    expect(troubleAt(fields, problem("limits.iops"))).toBe("limits.iops"))
  it("finds it by its last word", () => expect(troubleAt(fields, problem("disks[0].name"))).toBe("name"))
  it("knows what a taken name is about", () => {
    expect(troubleAt(fields, problemOf({ code: "resource.name_taken", context: { kind: "VM" } }, 409))).toBe(
      "name",
    )
  })
  it("finds none for something else", () => expect(troubleAt(fields, problem("colour"))).toBe(""))
})
