import type { Texts } from "../en"
import { common } from "./common"
import { events } from "./events"
import { nodes } from "./nodes"
import { operations } from "./operations"
import { overview } from "./overview"
import { resource } from "./resource"
import { signin } from "./signin"
import { vms } from "./vms"
import { yaml } from "./yaml"

export const zh: Texts = {
  ...common,
  events,
  nodes,
  operations,
  overview,
  resource,
  signin,
  vms,
  yaml,
}
