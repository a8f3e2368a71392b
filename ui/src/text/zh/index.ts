import type { Texts } from "../en"
import { common } from "./common"
import { nodes } from "./nodes"
import { overview } from "./overview"
import { signin } from "./signin"
import { vms } from "./vms"
import { yaml } from "./yaml"

export const zh: Texts = { ...common, nodes, overview, signin, vms, yaml }
