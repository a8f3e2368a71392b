import type { Texts } from "../en"
import { common } from "./common"
import { events } from "./events"
import { operations } from "./operations"
import { resource } from "./resource"
import { signin } from "./signin"
import { vms } from "./vms"
import { yaml } from "./yaml"

export const zh: Texts = { ...common, events, operations, resource, signin, vms, yaml }
