import { common } from "./common"
import { signin } from "./signin"
import { vms } from "./vms"

export const en = { ...common, signin, vms }
export type Texts = typeof en
