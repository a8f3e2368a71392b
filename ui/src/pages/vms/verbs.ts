/** Verbs: what can be asked of a VM, when, and how it is asked for. Pure. */
import type { Ask } from "../../api/asks"
import type { VM } from "../../api/kinds"

export type Verb =
  | "start"
  | "stop"
  | "kill"
  | "restart"
  | "pause"
  | "resume"
  | "suspend"
  | "migrate"
  | "delete"

const ON = new Set(["running", "starting", "migrating"])
const OFF = new Set(["stopped", "failed", "suspended"])

/** Whether it makes sense for a VM in this phase; the server has the last word. */
export function makesSense(verb: Verb, phase: string): boolean {
  switch (verb) {
    case "start":
      return OFF.has(phase)
    case "resume":
      return phase === "paused"
    case "stop":
    case "kill":
      return ON.has(phase) || phase === "paused" || phase === "stopping"
    case "restart":
    case "pause":
    case "suspend":
    case "migrate":
      return phase === "running"
    case "delete":
      return phase !== "deleting"
  }
}

/** The request for a verb that needs no more words. */
export function requestFor(verb: Verb, vm: Pick<VM, "id">): Omit<Ask, "verb" | "name"> {
  const path = `/api/v1/vms/${encodeURIComponent(vm.id)}`
  if (verb === "delete") return { method: "DELETE", path }
  if (verb === "kill") return { method: "POST", path: `${path}/stop?force=true` }
  if (verb === "migrate") return { method: "POST", path: `${path}/migrate`, body: {} }
  return { method: "POST", path: `${path}/${verb}` }
}
