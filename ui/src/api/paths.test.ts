import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { type Kind, listPath, PLURAL } from "./kinds"

const API = JSON.parse(readFileSync("openapi.json", "utf8")) as { paths: Record<string, object> }
const templates = Object.keys(API.paths).map(path => new RegExp(`^${path.replace(/\{[^}]+\}/g, "[^/]+")}$`))

/** Texts in the code that are paths of the API, with a word for each part that is put in at run time. */
function pathsIn(code: string): string[] {
  const found = code.matchAll(/["`](\/api\/v1\/[^"`\s]*)["`]/g)
  return [...found].map(([, path = ""]) => {
    const plain = path.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, "x")
    return plain.replace(/\?.*$/, "").replace(/\/$/, "")
  })
}

it("asks for nothing that the server does not have", () => {
  const files = readdirSync("src", { recursive: true, withFileTypes: true }).filter(
    file => file.isFile() && /\.tsx?$/.test(file.name) && !/\.test\.|schema\.d/.test(file.name),
  )
  const lists = (Object.keys(PLURAL) as Kind[]).map(listPath)
  const written = files.flatMap(file => pathsIn(readFileSync(join(file.parentPath, file.name), "utf8")))
  const paths = new Set([...lists, ...written.filter(path => path !== "/api/v1/x")]) // that one is listPath() itself
  expect(paths.size).toBeGreaterThan(15)
  expect([...paths].filter(path => !templates.some(template => template.test(path)))).toEqual([])
})
