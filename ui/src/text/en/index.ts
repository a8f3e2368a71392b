import { common } from "./common"
import { events } from "./events"
import { operations } from "./operations"
import { resource } from "./resource"
import { signin } from "./signin"
import { vms } from "./vms"
import { yaml } from "./yaml"

export const en = { ...common, events, operations, resource, signin, vms, yaml }
export type Texts = typeof en
