/** Command: a request as the command line has it. Pure. */
import { quote } from "./code"

export type Options = Record<string, string | number | boolean | readonly string[] | undefined>

/** `true`: the option stands alone; "", false and undefined: it is left out; a list: once for each. */
export function command(words: readonly unknown[], options: Options = {}): string {
  const said = words.map(word => quote(String(word ?? "")))
  for (const [name, value] of Object.entries(options)) {
    const each = Array.isArray(value) ? value : [value]
    for (const one of each) {
      if (one === true) said.push(`--${name}`)
      else if (one !== undefined && one !== false && one !== "") said.push(`--${name} ${quote(String(one))}`)
    }
  }
  return said.filter(word => word !== "''").join(" ")
}

/** "a, b c" as ["a", "b", "c"] */
export function wordsOf(text: unknown): string[] {
  return String(text ?? "")
    .split(/[\s,]+/)
    .filter(Boolean)
}
