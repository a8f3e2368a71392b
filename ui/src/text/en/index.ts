import { common } from "./common"
import { signin } from "./signin"
import { vms } from "./vms"
import { yaml } from "./yaml"

export const en = { ...common, signin, vms, yaml }
export type Texts = typeof en
