import type { Texts } from "../en"
import { common } from "./common"
import { signin } from "./signin"
import { vms } from "./vms"
import { yaml } from "./yaml"

export const zh: Texts = { ...common, signin, vms, yaml }
