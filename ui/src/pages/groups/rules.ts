/**
 * Rules of placement groups as a line each, as the command line has them. Pure.
 *
 * Always true    ruleOf(ruleText(rule)) is the rule; what is no rule is left to the server to refuse by name
 */
import type { Schemas } from "../../api/client"

export type Rule = Schemas["GroupRule"]
type Said = { kind: string; domain?: string; nodes?: string[]; required?: boolean; weight?: number }

/** "anti-affinity,rack,weight=0.5"; with a weight it is a preference. */
export function ruleOf(line: string): Said {
  const [kind = "", ...words] = line.split(",").map(word => word.trim())
  const rule: Said = { kind }
  for (const word of words.filter(Boolean)) {
    if (word.startsWith("nodes=")) rule.nodes = [...(rule.nodes ?? []), word.slice(6)]
    else if (word.startsWith("weight=")) {
      rule.required = false
      rule.weight = Number(word.slice(7))
    } else rule.domain = word
  }
  return rule
}

export function rulesOf(text: string): Said[] {
  return text
    .split("\n")
    .map(line => line.trim())
    .filter(Boolean)
    .map(ruleOf)
}

export function ruleText(rule: Said): string {
  const words: string[] = [rule.kind]
  if (rule.domain && (rule.domain !== "node" || !rule.nodes?.length)) words.push(rule.domain)
  for (const node of rule.nodes ?? []) words.push(`nodes=${node}`)
  if (rule.required === false) words.push(`weight=${rule.weight ?? 0.5}`)
  return words.join(",")
}
